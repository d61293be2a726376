import { sentence } from '../../app/toasts.svelte';
import type { Capacity, DoctorReport, GpuBackendKind } from '../../backend/generated/types';
import { bytes, count, exactTime, short } from '../../format';

const devices: Record<GpuBackendKind, string> = { cuda: 'NVIDIA GPU', metal: 'Apple GPU', cpu: 'Processor' };
const methods: Record<string, string> = { lora: 'LoRA', lora_bfloat16: '16-bit LoRA', qlora: 'QLoRA', full: 'full fine-tuning' };

/** What computes, in a word or two. */
export const deviceName = (kind: GpuBackendKind) => devices[kind];

/** `the processor: there is an Apple GPU, but …` */
export function computesOn({ kind, reason }: DoctorReport['gpu_backend']): string {
  return sentence(`${kind === 'cpu' ? 'The processor' : devices[kind]}: ${reason}`);
}

/** `36 GB of memory, 30.6 GB for a run` */
export function memoryWords(report: DoctorReport, usable: number | null): string {
  return `${bytes(report.memory.total)} of memory${usable === null ? '' : `, ${bytes(usable)} for a run`}`;
}

/** The largest first: `8 B with 16-bit LoRA`. */
export function fitsHere(capacity: Capacity[]): string[] {
  return [...capacity].sort((one, other) => other.parameters - one.parameters).map(({ method, title, parameters }) => `${short(parameters)} with ${methods[method] ?? title}`);
}

/** All of it as text, to paste into a question to others. */
export function asText(report: DoctorReport, usable: number | null, now: number): string {
  const { platform, gpu_backend, memory, disk } = report;
  return [
    `Attune ${report.version}, ${exactTime(now)}`,
    `${platform.chip}, ${count(platform.usable_cores)} of ${count(platform.cores)} cores, ${platform.architecture}, ${platform.system_name}`,
    `Computes on ${computesOn(gpu_backend)}`,
    ...gpu_backend.looked_for.map((line) => `  ${line}`),
    `Memory: ${bytes(memory.total)}, ${bytes(memory.available)} free${memory.limit === null ? '' : `, limited to ${bytes(memory.limit)}`}${usable === null ? '' : `, ${bytes(usable)} for a run`}`,
    `Disk: ${bytes(disk.available)} free of ${bytes(disk.total)}`,
    `Fits: ${fitsHere(report.capacity).join(', ') || 'no usual model with the default settings'}`,
    `Home folder: ${report.home} (${report.home_reason})`,
    `Models: ${report.model_cache}`,
    ...report.findings.map((finding) => `Finding: ${finding}`),
  ].join('\n');
}
