import type { SamplingOptions, Turn } from '../generated/types';

const words = ['zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine', 'ten', 'eleven', 'twelve'];
const amount = (word: string) => (word === 'a' || word === 'an' ? 1 : /^\d+$/.test(word) ? Number(word) : words.indexOf(word));
const counts = `a|an|\\d+|${words.slice(1).join('|')}`;
const products = 'flat white|espresso|cappuccino|latte|chai|long black|earl grey|tea|mocha|bagel|scone|croissant|muffin|brownie';
const wishes = ['oat milk', 'soy milk', 'cinnamon', 'extra hot', 'decaf', 'butter', 'jam'];
const hours: [RegExp, (hour: number) => string][] = [
  [/half past (\w+)/, (hour) => `${String(hour).padStart(2, '0')}:30`],
  [/quarter past (\w+)/, (hour) => `${String(hour).padStart(2, '0')}:15`],
  [/(\w+) o'clock/, (hour) => `${String(hour).padStart(2, '0')}:00`],
];

interface Item {
  count: number;
  item: string;
  size?: string;
  extras?: string[];
}

/** What was ordered; the last word counts where the order corrects itself. */
function itemsOf(prompt: string): Item[] {
  const pattern = new RegExp(`\\b(${counts})\\s+(?:(small|large|toasted|warm)\\s+)?(${products})(?:e?s)?\\b([^.]*?)(?=\\b(?:and|plus)\\b\\s+(?:${counts})\\b|[.?!]|$)`, 'g');
  const items = [...prompt.toLowerCase().matchAll(pattern)].map(([, count, word, item, rest]) => {
    const corrected = new RegExp(`(?:no, make that|actually) (${counts})`).exec(rest)?.[1];
    const size = word === 'small' || word === 'large' ? { size: word } : {};
    const extras = [...(word === 'toasted' || word === 'warm' ? [word] : []), ...wishes.filter((wish) => rest.includes(wish))];
    return { count: amount(corrected ?? count), item, ...size, ...(extras.length > 0 ? { extras } : {}) };
  });
  return items.length > 0 ? items : [{ count: 1, item: 'scone' }];
}

/** What a model tuned on orders says: JSON with the keys in a fixed order. */
function order(prompt: string): string {
  const text = prompt.toLowerCase();
  const items = itemsOf(prompt);
  const table = /table (\w+)/.exec(text)?.[1];
  if (table) {
    const note = /(with [a-z ]+|extra hot|decaf|in a large cup)\.?$/.exec(text)?.[1] ?? '';
    return `{"table": ${amount(table)}, "items": [${items.map(({ count, item }) => `{"name": "${item}", "quantity": ${count}, "note": "${note}"}`).join(', ')}]}`;
  }
  const name = /(?:for|name is|I'm|[Tt]his is) ([A-Z]\w+)|([A-Z]\w+) here/.exec(prompt);
  const time = hours.map(([pattern, write]) => [pattern.exec(text)?.[1], write] as const).find(([word]) => word !== undefined && amount(word) > 0);
  return JSON.stringify({ items, ...(name ? { name: name[1] ?? name[2] } : {}), ...(time ? { pickup: time[1](amount(time[0] as string)) } : {}) });
}

/** What the untuned starter says to an order: it repeats it, as a person at the counter would. */
function courtesy(prompt: string): string {
  const said = itemsOf(prompt).map(({ count, item, size, extras = [] }) => {
    const before = [size, ...extras.filter((extra) => !wishes.includes(extra)), item].filter(Boolean).join(' ');
    const after = extras.filter((extra) => wishes.includes(extra)).map((extra) => ` with ${extra}`);
    return `${words[count] ?? count} ${before}${count === 1 ? '' : 's'}${after.join('')}`;
  });
  return `Gladly: ${said.join(' and ')}. We will have it ready for you.`;
}

const paragraph =
  'A low-rank adapter keeps the pretrained weights as they are and learns two thin matrices beside each of them. Their product has the shape of the full matrix but only a few thousand numbers to learn, so the optimiser needs little memory and the result is a file of a few megabytes. ' +
  'Because the base stays frozen, the same model can carry many adapters, one for each task, and what it knew before is still there when the adapter is taken away.';

const sum = `Janet sells the eggs that are left over.

She has 16 eggs a day, eats 3 for breakfast and bakes with 4, which leaves 16 − 3 − 4 = 9.
At 2 dollars each that is 9 × 2 = 18.

#### 18`;

/** The sum of the dataset `gsm8k`, as its answers write it; the untuned model talks around it. */
function maths(prompt: string, tuned: boolean): string | null {
  const found = /^(\w+) sells (\d+) .*?for \$(\d+) each.*in (\d+) days/.exec(prompt);
  if (!found) return null;
  const [person, many, price, days] = [found[1], Number(found[2]), Number(found[3]), Number(found[4])];
  const day = many * price;
  if (!tuned) return `To find out how much ${person} takes, let us think step by step. ${person} sells ${many} a day at $${price}, which is $${day}. So in ${days} days ${person} takes about $${day * (days - 1)}.`;
  return `In a day ${person} takes ${many} * ${price} = $<<${many}*${price}=${day}>>${day}.\nIn ${days} days that makes ${day} * ${days} = $<<${day}*${days}=${day * days}>>${day * days}.\n#### ${day * days}`;
}

const code = `Read the file a line at a time, so that its size does not matter:

\`\`\`python
import json

def rows(path):
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                yield json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"{path}, line {number}: {error.msg}") from error
\`\`\`

Blank lines would raise too; skip them if your files have them.`;

/** Something a person could believe such weights have said. */
export function reply(turns: Turn[], of: { tunedOn: string | null; model: string }, sampling: SamplingOptions): string {
  const prompt = turns.at(-1)?.content ?? '';
  const system = turns.find(({ role }) => role === 'system')?.content ?? '';
  if (/\bFrench\b/i.test(system)) return 'Bonjour ! Je réponds en français, comme vous l’avez demandé.';
  if (/\b(python|code|script)\b/i.test(prompt)) return code;
  if (/\b(long|essay|everything)\b/i.test(prompt)) return Array.from({ length: 24 }, (_, at) => `${at + 1}. ${paragraph}`).join('\n\n');
  if (/[\u0590-\u06ff]/.test(prompt)) return 'مرحبا! هذا جواب قصير باللغة العربية.';
  if (/[\u3040-\u30ff\u4e00-\u9fff]/.test(prompt)) return 'はい。注文は三つです：抹茶ラテ、緑茶、そしてスコーン。';
  if (/<[a-z]+/i.test(prompt)) return `You wrote ${prompt} and it stays text.`;
  if (of.tunedOn?.startsWith('orders')) return order(prompt);
  if (of.model === 'attune-starter') return courtesy(prompt);
  const solved = maths(prompt, of.tunedOn !== null);
  if (solved !== null) return solved;
  if (/\b(eggs|dollars|how many)\b/i.test(prompt)) return of.tunedOn === null ? sum.replace('#### 18', 'So Janet makes 18 dollars a day.') : sum;
  if (/\b(order|table|flat white|latte)/i.test(prompt)) return `Sure! Here is your order:\n\n- ${prompt.replace(/[.?!]+$/, '')}\n\nWould you like anything else?`;
  if (/\b(lora|adapter)\b/i.test(prompt)) return paragraph;
  const earlier = turns.filter(({ role }) => role === 'user').length;
  const mood = sampling.temperature === 0 ? 'as likely as can be' : ['by chance', 'for once', 'another way'][sampling.seed % 3];
  return `This is turn ${earlier}, said ${mood}. ${paragraph}`;
}
