import type { MethodFit } from '../../backend/generated/types';
import { bytes } from '../../format';

const words: Record<string, string> = { lora: 'LoRA', lora_bfloat16: '16-bit LoRA', qlora: 'QLoRA', full: 'full' };

/** A method in a word or two. */
const methodWord = (fit: MethodFit) => words[fit.method] ?? fit.title;

export interface Verdict {
  fits: boolean;
  /** `LoRA · full`, or by how much it is too large. */
  text: string;
  /** Bytes of each method. */
  detail: string;
}

/** Whether and how a model can be tuned here; null where nothing is known. `usable` is what a run may use. */
export function verdict(fits: MethodFit[], usable: number | null): Verdict | null {
  if (fits.length === 0) return null;
  const detail = fits.map((fit) => `${fit.title} ${bytes(fit.bytes)}`).join(' · ') + (usable === null ? '' : `, of ${bytes(usable)} usable`);
  const fitting = fits.filter((fit) => fit.fits);
  // What holds the weights in full holds them in 16 and in 4 bits too: of the three only the most exact is named.
  const adapters = ['lora', 'lora_bfloat16', 'qlora'];
  const best = adapters.find((one) => fitting.some(({ method }) => method === one));
  const named = fitting.filter(({ method }) => method === best || !adapters.includes(method));
  if (fitting.length > 0) return { fits: true, text: named.map(methodWord).join(' · '), detail };
  const least = Math.min(...fits.map((fit) => fit.bytes));
  return { fits: false, text: usable === null ? 'Too large' : `Too large by ${bytes(least - usable)}`, detail };
}
