import { CommandError } from '../backend';
import type { DoctorReport, Starter } from '../generated/types';
import { readScenario, type Handlers } from './context';
import { datasetStore, starterDatasets } from './datasets';
import { deviceUse, startJob } from './jobs';
import { installBundledModel } from './models';
import { savedPreferences } from './preferences';

const gigabyte = 1e9;

/** As `attune doctor` answers on such a machine: this build computes on the processor. */
const report: DoctorReport = {
  platform: { architecture: 'arm64', system: 'macos', system_name: 'macOS 26.1 Tahoe', chip: 'Apple M3 Max', cores: 14, usable_cores: 14 },
  gpu_backend: {
    kind: 'cpu',
    reason: 'there is an Apple GPU, but this build has no Metal support yet',
    looked_for: [
      'Apple GPU (Metal): found',
      'NVIDIA driver (/proc/driver/nvidia/version): not found',
      'NVIDIA device (/dev/nvidia0): not found',
      'CUDA or Metal in this build: no, this build computes on the processor',
    ],
  },
  memory: { total: 36 * gigabyte, available: 22.4 * gigabyte, limit: null },
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
  platform: { architecture: 'x86_64', system: 'linux', system_name: 'Linux (Ubuntu 24.04)', chip: 'AMD EPYC 7B13 64-Core Processor', cores: 64, usable_cores: 2 },
  gpu_backend: {
    kind: 'cpu',
    reason: 'no supported GPU was found',
    looked_for: ['Apple GPU (Metal): not found', ...report.gpu_backend.looked_for.slice(1)],
  },
  memory: { total: 4 * gigabyte, available: 1.1 * gigabyte, limit: 4 * gigabyte },
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

export const machine: Handlers = {
  doctor: () => (readScenario() === 'empty' ? small : report),
  system_load: () => {
    const { total } = report.memory;
    const seconds = Date.now() / 1000;
    const { running } = deviceUse();
    const limit = savedPreferences().memory_limit;
    return {
      device: report.gpu_backend.kind,
      memory_used: (running ? 20.4 : 13.6) * gigabyte + Math.round(0.12 * gigabyte * Math.sin(seconds / 3)),
      memory_total: total,
      memory_process: (running ? 9.2 : 0.4) * gigabyte,
      memory_usable: Math.min(limit ?? Infinity, total * 0.85),
      load: running ? 0.9 + 0.05 * Math.sin(seconds / 2) : 0.06 + 0.02 * Math.sin(seconds),
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
