import { sentence } from '../../app/toasts.svelte';
import type { Backend, BackendCheck, Capacity, DoctorReport, GpuBackendKind, Memory } from '../../backend/generated/types';
import { bytes, count, exactTime, short } from '../../format';

const devices: Record<GpuBackendKind, string> = { cuda: 'NVIDIA GPU', metal: 'Apple GPU', cpu: 'Processor' };
const methods: Record<string, string> = { lora: 'LoRA', lora_bfloat16: '16-bit LoRA', qlora: 'QLoRA', full: 'full fine-tuning' };

/** What computes, in a word or two. */
export const deviceName = (kind: GpuBackendKind) => devices[kind];

/** `The processor: there is an NVIDIA GPU, but …` */
export function computesOn({ kind, reason }: Pick<DoctorReport['gpu_backend'], 'kind' | 'reason'>): string {
  return sentence(`${kind === 'cpu' ? 'The processor' : devices[kind]}: ${reason}`);
}

/** `36 GB of memory, 30.6 GB for a run` */
export function memoryWords(report: DoctorReport, usable: number | null): string {
  return `${bytes(report.memory.total)} of memory${usable === null ? '' : `, ${bytes(usable)} for a run`}`;
}

/** Whether it can be used, or what stands in the way and what would help. */
export function backendWords({ kind, reason, remedy }: Backend): string {
  return [sentence(`${devices[kind]}: ${reason}`), remedy].filter(Boolean).join(' ');
}

/** The memory of what computes. */
export function deviceMemory({ gpu_backend, memory }: DoctorReport): Memory {
  return gpu_backend.backends.find(({ kind }) => kind === gpu_backend.kind)?.memory ?? memory;
}

/** `Apple GPU: agrees with the formulas (gradients 2.1e-7 apart) · 2 340 tokens/s · 812 GFLOP/s` */
export function checkWords({ kind, result, problem }: BackendCheck): string {
  if (result === null) return `${devices[kind]}: ${problem ? sentence(problem.message) : 'not checked'}`;
  const { agrees, concerns, gradient_difference, tokens_per_second, operations_per_second } = result;
  const verdict = agrees ? 'agrees with the formulas' : 'computes wrongly';
  return `${devices[kind]}: ${verdict} (gradients ${gradient_difference.toExponential(1)} apart) · ${count(Math.round(tokens_per_second))} tokens/s · ${count(Math.round(operations_per_second / 1e9))} GFLOP/s${concerns.map((concern) => ` · ${concern}`).join('')}`;
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
    `${platform.chip}, ${count(platform.usable_cores)} of ${count(platform.cores)} cores, ${platform.architecture}, ${platform.system_name}, kernel ${platform.kernel}`,
    `Computes on ${computesOn(gpu_backend)}`,
    ...gpu_backend.backends.map((backend) => `  ${backendWords(backend)}`),
    ...report.checks.map((check) => `  ${checkWords(check)}`),
    `Memory: ${bytes(memory.total)}, ${bytes(memory.available)} free${memory.limit === null ? '' : `, limited to ${bytes(memory.limit)}`}${usable === null ? '' : `, ${bytes(usable)} for a run`}`,
    `Disk: ${bytes(disk.available)} free of ${bytes(disk.total)}`,
    `Fits: ${fitsHere(report.capacity).join(', ') || 'no usual model with the default settings'}`,
    `Home folder: ${report.home} (${report.home_reason})`,
    `Models: ${report.model_cache}`,
    ...report.findings.map((finding) => `Finding: ${finding}`),
  ].join('\n');
}
