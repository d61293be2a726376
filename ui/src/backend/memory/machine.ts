import { CommandError } from '../backend';
import type { DeviceCheck, DoctorReport, GpuBackendKind, Starter } from '../generated/types';
import { readScenario, type Handlers } from './context';
import { datasetStore, starterDatasets } from './datasets';
import { deviceUse, startJob } from './jobs';
import { installBundledModel } from './models';
import { savedPreferences } from './preferences';

const gigabyte = 1e9;

/** As `attune doctor` answers on such a machine. */
const report: DoctorReport = {
  platform: { architecture: 'arm64', system: 'macos', system_name: 'macOS 26.1 Tahoe', kernel: '25.1.0', chip: 'Apple M3 Max', model: 'Mac15,9', translated: false, cores: 16, usable_cores: 16 },
  gpu_backend: {
    kind: 'metal',
    reason: 'there is an Apple GPU, which shares the memory of the processor',
    chosen_by: 'detection',
    backends: [
      { kind: 'cuda', state: 'no_device', name: null, reason: "CUDA is NVIDIA's, and Macs have no such GPU", remedy: null, memory: null },
      {
        kind: 'metal', state: 'ready', name: 'Apple M3 Max', reason: 'there is an Apple GPU, which shares the memory of the processor', remedy: null,
        memory: { total: 36 * gigabyte, available: 22.4 * gigabyte, limit: 36 * gigabyte, unified: true },
      },
      { kind: 'cpu', state: 'ready', name: null, reason: 'the processor always works', remedy: null, memory: { total: 48 * gigabyte, available: 22.4 * gigabyte, limit: null, unified: true } },
    ],
  },
  checks: [],
  memory: { total: 48 * gigabyte, available: 22.4 * gigabyte, limit: null, unified: true },
  disk: { total: 994 * gigabyte, available: 412 * gigabyte },
  home: '/Users/ada/Library/Application Support/attune',
  home_reason: "the platform's application-data folder",
  model_cache: '/Users/ada/.cache/huggingface/hub',
  capacity: [
    { method: 'full', title: 'Full fine-tuning', parameters: 1_235_814_400 },
    { method: 'lora', title: 'LoRA', parameters: 4_022_468_096 },
    { method: 'lora_bfloat16', title: 'LoRA on 16-bit weights', parameters: 8_030_261_248 },
    { method: 'qlora', title: 'QLoRA on 4-bit weights', parameters: 14_768_307_200 },
  ],
  version: '0.1.0',
  findings: [],
};

/** A machine at its limits: a container with little of everything, which the doctor remarks on. */
const small: DoctorReport = {
  ...report,
  platform: { architecture: 'x86_64', system: 'linux', system_name: 'Linux (Ubuntu 24.04)', kernel: '6.8.0-45-generic', chip: 'AMD EPYC 7B13 64-Core Processor', model: null, translated: false, cores: 64, usable_cores: 2 },
  gpu_backend: {
    kind: 'cpu',
    reason: 'there is an NVIDIA GPU, but no driver for it',
    chosen_by: 'detection',
    backends: [
      { kind: 'cuda', state: 'no_driver', name: null, reason: 'there is an NVIDIA GPU, but no driver for it', remedy: "Install NVIDIA's driver, version 580 or newer; on a Jetson, JetPack.", memory: null },
      { kind: 'metal', state: 'no_device', name: null, reason: "Metal is Apple's, and this is no Mac", remedy: null, memory: null },
      { kind: 'cpu', state: 'ready', name: null, reason: 'the processor always works', remedy: null, memory: { total: 4 * gigabyte, available: 1.1 * gigabyte, limit: 4 * gigabyte, unified: false } },
    ],
  },
  memory: { total: 4 * gigabyte, available: 1.1 * gigabyte, limit: 4 * gigabyte, unified: false },
  disk: { total: 20 * gigabyte, available: 1.2 * gigabyte },
  home: '/data/attune',
  home_reason: 'ATTUNE_HOME',
  model_cache: '/data/huggingface/hub',
  capacity: [{ method: 'lora', title: 'LoRA', parameters: 134_515_008 }],
  findings: ['Only 1200 MB are free where Attune keeps its files.', '/data/attune cannot be written. Set ATTUNE_HOME to another folder.'],
};

export const starter: Starter = {
  model: 'attune-starter',
  dataset: 'orders',
  held_out: 'orders-held-out',
  prompt: "Hi! Could I get two large lattes with oat milk and a toasted bagel, no, make that three? It's for Mira, pick-up at half past nine.",
  settings: {
    experiment_name: 'orders', model: 'starter', dataset: 'orders', validation_size: 0, evaluation_epochs: 0, seed: 20_260, epochs: 5,
    batch_size: 8, learning_rate: 0.002, weight_decay: 0.1, warmup_epochs: 0.2, gradient_clip: 1, gradient_checkpointing: false, lora_r: 8, lora_alpha: 16,
  },
};

const checked = (kind: GpuBackendKind): DeviceCheck => ({
  loss: 4.871,
  loss_difference: 9.8e-8,
  gradient_difference: kind === 'cpu' ? 3.1e-7 : 6.4e-7,
  step_difference: 4.7e-5,
  tolerance: 1e-3,
  operations: kind === 'cpu' ? 0 : 48,
  concerns: [],
  agrees: true,
  tokens_per_second: kind === 'cpu' ? 21_400 : 9_800,
  operations_per_second: kind === 'cpu' ? 1.1e12 : 9.6e12,
});

export const machine: Handlers = {
  doctor: ({ check = false }) => {
    const machine = readScenario() === 'empty' ? small : report;
    const wish = savedPreferences().device;
    const gpu_backend = machine.gpu_backend.backends.some(({ kind, state }) => kind === wish && state === 'ready')
      ? { ...machine.gpu_backend, kind: wish as GpuBackendKind, reason: 'the preferences ask for it', chosen_by: 'preference' as const }
      : machine.gpu_backend;
    const ready = gpu_backend.backends.filter(({ state }) => state === 'ready');
    return { ...machine, gpu_backend, checks: check ? ready.map(({ kind }) => ({ kind, result: checked(kind), problem: null })) : [] };
  },
  system_load: () => {
    const total = 36 * gigabyte;
    const seconds = Date.now() / 1000;
    const { running } = deviceUse();
    const limit = savedPreferences().memory_limit;
    return {
      device: report.gpu_backend.kind,
      memory_used: (running ? 20.4 : 13.6) * gigabyte + Math.round(0.12 * gigabyte * Math.sin(seconds / 3)),
      memory_total: total,
      memory_process: (running ? 9.2 : 0.4) * gigabyte,
      memory_usable: Math.min(limit ?? Infinity, total * 0.85),
      // Metal does not tell how busy its GPU is.
      load: null,
    };
  },
  starter: async (_request, { emit, sleep, signal }) => {
    if (signal.aborted) throw new CommandError({ code: 'cancelled', message: 'cancelled' });
    const missing = starterDatasets.filter(({ id }) => !datasetStore().some((dataset) => dataset.id === id));
    const job = missing.length > 0 ? startJob('import', 'orders.jsonl') : null;
    for (let done = 0; done <= 480; done += 120) {
      emit({ type: 'progress', what: 'Reading orders.jsonl', done, total: 480, seconds_left: null });
      await sleep(80);
    }
    for (const dataset of missing) datasetStore().unshift(dataset);
    installBundledModel();
    job?.end();
    return starter;
  },
};
