// What the simulated files hold: the same row at the same index, always.

export type DataRow = Record<string, unknown>;

const pick = <T>(list: readonly T[], index: number): T => list[index % list.length];

const drinks = ['flat white', 'espresso', 'pot of Earl Grey', 'cappuccino', 'iced latte', 'chai', 'long black'];
const extras = ['with oat milk', 'extra hot', 'with two sugars', 'decaf', 'in a large cup'];
const tables: [string, number][] = [['nine', 9], ['three', 3], ['twelve', 12], ['seven', 7], ['one', 1]];

export function order(index: number): DataRow {
  const drink = pick(drinks, index);
  const extra = pick(extras, index * 3);
  const [said, table] = pick(tables, index + Math.floor(index / 35));
  const quantity = 1 + (index % 3);
  const name = drink.startsWith('pot') && quantity > 1 ? drink.replace('pot', 'pots') : `${drink}${quantity > 1 ? 's' : ''}`;
  return {
    prompt: `${pick(['One', 'Two', 'Three'], quantity - 1)} ${name} to table ${said}, please, ${extra}.`,
    answer: `{"table": ${table}, "items": [{"name": "${drink}", "quantity": ${quantity}, "note": "${extra}"}]}`,
    source: pick(['web', 'phone', 'counter'], index),
  };
}

const people = ['Natalia', 'Weng', 'Betty', 'Julio', 'Mark', 'Aisha', 'Tomasz', 'Priya', 'Ken', 'Lucía', 'Olu'];
const goods = ['pencils', 'apples', 'clips', 'tickets', 'stickers', 'cookies', 'marbles'];

export function sum(index: number): DataRow {
  // These rows are the ones the importer complains about.
  const emptyAnswers = [1203, 1390, 2005, 2006, 3339, 3340, 4011, 4702, 5120, 5533, 6290, 7001];
  const original = index > 700 && index % 997 === 0 ? index - 700 : index;
  const person = pick(people, original * 7);
  const good = pick(goods, original * 3 + Math.floor(original / 11));
  const mixed = Math.imul(original + 1, 2_654_435_761) >>> 0;
  const many = 4 + (mixed % 97);
  const price = 2 + ((mixed >>> 7) % 29);
  const days = 2 + ((mixed >>> 12) % 9);
  const total = many * price * days;
  const opening = `${person} sells ${many} ${good} a day for $${price} each.`;
  const asides = [` A friend takes ${days} of them home, and pays for them like everyone else.`, ` On the way to the market ${person} counts the ${good} twice, because last week one of the boxes was not full.`, ' It rains on the second day, but people come all the same.', ` A neighbour, who sells ${pick(goods, original)} at the next table, asks for change and gets it.`];
  const middle = asides.slice(0, pick([0, 1, 1, 2, 0, 2, 3, 1, 4], original * 7 + (original % 4))).join('');
  const question = `${opening}${middle} How many dollars does ${person} take in ${days} days?`;
  const steps = Array.from({ length: pick([0, 0, 1, 2, 1, 3, 0, 5], original * 3) }, (_, at) => `After day ${at + 1} there are ${many * price} * ${at + 1} = $<<${many * price}*${at + 1}=${many * price * (at + 1)}>>${many * price * (at + 1)}.\n`).join('');
  const answer = `In a day ${person} takes ${many} * ${price} = $<<${many}*${price}=${many * price}>>${many * price}.\n${steps}In ${days} days that makes ${many * price} * ${days} = $<<${many * price}*${days}=${total}>>${total}.\n`;
  const length = [87, 4119, 6006].includes(index) ? 6 + (index % 4) : 1;
  return { question, answer: emptyAnswers.includes(index) ? '' : `${answer.repeat(length)}#### ${total}` };
}

const issues = [
  ['My export stops at 60 % and the window says the disk is full, but it is not.', 'The export writes to the temporary folder first, and that one is on your system disk. Choose another folder under Settings, Storage, then start the export again. Nothing of your project is lost.'],
  ['How do I move my licence to a new laptop?', 'Sign out on the old one under Account, Devices. The seat is free at once, and you can sign in on the new laptop.'],
  ['We were billed twice in March.', 'I see both payments. The second is refunded today; with most banks it arrives within three working days.'],
  ['Die Rechnung hat die falsche Umsatzsteuernummer. Können Sie sie neu ausstellen?', 'Gern. Die berichtigte Rechnung liegt in Ihrem Konto unter Abrechnung, und eine Kopie ist unterwegs an Ihre Adresse.'],
  ['The app does not start since the update.', 'Version 4.2.1 had this fault on systems without a graphics driver. 4.2.2 is out and fixes it; your settings stay.'],
];

export function ticket(index: number): DataRow {
  const [question, answer] = pick(issues, index);
  const log = index % 41 === 7 ? `\n\nHere is the log:\n${Array.from({ length: 130 }, (_, at) => `2026-03-${String(1 + (at % 28)).padStart(2, '0')} 14:${String(at % 60).padStart(2, '0')}:07 WARN export: part ${at + 1} of 130 was written again`).join('\n')}` : '';
  const more = index % 3 === 0 ? [{ role: 'user', content: 'Thank you, that worked.' }, { role: 'assistant', content: 'Glad to hear it. I close the ticket; you can open it again by replying.' }] : [];
  const messages = [
    { role: 'system', content: 'You answer support tickets of Northwind. Be brief and friendly, and never promise dates.' },
    { role: index % 2_801 === 12 ? 'agent' : 'user', content: `${question}${log}` },
    { role: 'assistant', content: index % 1_733 === 40 ? '' : answer },
    ...more,
  ];
  return { ticket: 90_000 + index, messages, language: pick(['en', 'en', 'en', 'de', 'en'], index), closed: index % 9 !== 0 };
}

const tasks: [string, string, string][] = [
  ['Give three tips for staying healthy.', '', '1. Eat a balanced diet with plenty of vegetables.\n2. Move every day, at least half an hour.\n3. Sleep enough, and at the same hours.'],
  ['Classify each animal as a bird or a mammal.', 'sparrow, bat, penguin, whale', 'Birds: sparrow, penguin.\nMammals: bat, whale.'],
  ['Rewrite the sentence in the passive voice.', 'The committee approved the plan.', 'The plan was approved by the committee.'],
  ['What is the capital of Portugal?', '', 'Lisbon.'],
  ['Write a function that says whether a number is prime.', 'Python', 'def is_prime(n):\n    if n < 2:\n        return False\n    return all(n % k for k in range(2, int(n ** 0.5) + 1))'],
];

export function instruction(index: number): DataRow {
  const [asks, about, output] = pick(tasks, index);
  return { instruction: asks, input: about, output: index % 1_850 === 77 ? '' : `${output}${index >= 5 && index % 7 === 0 ? ` (${index})` : ''}` };
}

export function shared(index: number): DataRow {
  const { instruction: asks, output } = instruction(index);
  return { id: `c-${index}`, conversations: [{ from: 'human', value: asks }, { from: 'gpt', value: output }] };
}

export function report(index: number): DataRow {
  const level = pick(['L4/5', 'L5/S1', 'C5/6'], index);
  return { accession: `R-${20_000 + index}`, text: `CHEST, TWO VIEWS, ${1 + (index % 28)} March. The heart is of normal size. The lungs are clear; no effusion.\nSPINE. Mild narrowing at ${level}, unchanged since the last study.\nIMPRESSION. No acute finding.`, reviewed: index % 4 !== 0 };
}

const tongues: [string, string][] = [
  ['ما هي عاصمة المغرب؟', 'عاصمة المغرب هي الرباط، وأكبر مدنه الدار البيضاء.'],
  ['日本で一番高い山は何ですか。', '富士山です。標高は3776メートルあります。'],
  ['请用一句话介绍长城。', '长城是中国古代修建的防御工程，全长两万多公里。'],
  ['מהי עיר הבירה של ישראל?', 'ירושלים.'],
  ['한국의 수도는 어디입니까?', '서울입니다.'],
  ['Wie heißt der höchste Berg Österreichs?', 'Der Großglockner, 3798 m. 🏔️'],
];

export function tongue(index: number): DataRow {
  const [prompt, answer] = pick(tongues, index);
  return { prompt, answer };
}

export function preference(index: number): DataRow {
  const [prompt, , chosen] = pick(tasks, index);
  return { prompt, chosen, rejected: 'I do not know.', score: (index % 10) / 10 };
}

export function menu(index: number): DataRow {
  const { prompt, answer } = order(index);
  return { question: index % 50 === 3 ? `${String(prompt)} Caf\ufffd du jour.` : prompt, response: answer };
}

export function nameless(index: number): DataRow {
  const { question, answer } = sum(index);
  return { a: question, b: answer, c: String(index) };
}
