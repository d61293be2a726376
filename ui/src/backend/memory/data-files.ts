import { CommandError } from '../backend';
import type { ColumnKind, Format } from '../generated/types';
import { fileName } from '../../format';
import { instruction, menu, nameless, order, preference, report, shared, sum, ticket, tongue, type DataRow } from './data-content';

/** A file of the simulated disk. */
export interface DataFile {
  name: string;
  format: Format;
  encoding: string | null;
  delimiter: string | null;
  member: string | null;
  members: string[];
  bytes: number;
  rows: number;
  columns: { name: string; kind: ColumnKind }[];
  row(index: number): DataRow;
}

type Known = Partial<Omit<DataFile, 'columns'>> & Pick<DataFile, 'rows' | 'row'>;

// By the beginning of the name; what is not listed holds orders.
const known: Record<string, Known> = {
  gsm8k: { rows: 7_473, row: sum, bytes: 2_306_545 },
  orders: { rows: 600, row: order, bytes: 86_413 },
  support: { rows: 31_204, row: ticket, bytes: 188_204_118, members: ['support-2026.jsonl', 'support-2025.jsonl', 'archive/support-2019-to-2024.jsonl'] },
  tickets: { rows: 100_000, row: ticket, bytes: 611_902_400 },
  alpaca: { rows: 51_760, row: instruction, bytes: 44_307_561 },
  sharegpt: { rows: 9_104, row: shared, bytes: 12_204_190 },
  reports: { rows: 2_118, row: report, bytes: 6_204_118, delimiter: ';' },
  languages: { rows: 1_200, row: tongue, bytes: 204_880 },
  preference: { rows: 2_400, row: preference, bytes: 1_904_113 },
  menu: { rows: 900, row: menu, bytes: 120_448, delimiter: ';', encoding: 'windows-1252' },
  nameless: { rows: 800, row: nameless, bytes: 240_800 },
  million: { rows: 1_000_000, row: order, bytes: 1_441_203_997 },
};

const formats: Record<string, Format> = { csv: 'csv', tsv: 'tsv', txt: 'csv', json: 'json', jsonl: 'json_lines', ndjson: 'json_lines', parquet: 'parquet' };

/** What reading a path finds, or why it cannot be read, in the studio's words. */
export function dataFile(path: string, member?: string | null): DataFile {
  const name = fileName(path);
  refuse(path, name);
  const found = Object.entries(known).find(([start]) => name.toLowerCase().startsWith(start))?.[1] ?? known.orders;
  const members = found.members ?? (name.endsWith('.zip') ? [name.replace(/\.zip$/, '')] : []);
  const archive = name.endsWith('.zip') ? members : [];
  const read = archive.length === 0 ? null : (member ?? archive[0]);
  if (read !== null && !archive.includes(read)) throw new CommandError({ code: 'data-unknown-member', message: `there is no ${read} in the archive`, remedy: `Choose one of ${archive.join(', ')}.`, where: path });
  const format = formats[(read ?? name).split('.').at(-1)?.toLowerCase() ?? ''] ?? 'json_lines';
  const rows = read === null || read === archive[0] ? found.rows : Math.round(found.rows * 0.62);
  const columns = Object.entries(found.row(0)).map(([column, value]) => ({ name: column, kind: kindOf(value, format) }));
  const text = format === 'csv' || format === 'tsv';
  return {
    name, format, members: archive, member: read, rows, columns, row: found.row,
    bytes: found.bytes ?? 86_413,
    encoding: format === 'parquet' ? null : (found.encoding ?? 'UTF-8'),
    delimiter: text ? (format === 'tsv' ? '\t' : (found.delimiter ?? ',')) : null,
  };
}

function kindOf(value: unknown, format: Format): ColumnKind {
  if (Array.isArray(value)) return 'list';
  if (format === 'csv' || format === 'tsv' || typeof value === 'string') return 'text';
  if (typeof value === 'boolean') return 'boolean';
  return Number.isInteger(value) ? 'integer' : 'number';
}

function refuse(path: string, name: string): void {
  const start = name.toLowerCase();
  if (start.startsWith('broken')) {
    throw new CommandError({
      code: 'data-broken-line',
      message: `${path}, line 1 204: the text breaks off inside a value: EOF while parsing a string at column 118`,
      remedy: 'Repair or delete that line. It may be that the file was not downloaded to its end.',
      where: `${path}:1204`,
    });
  }
  if (start.startsWith('empty')) throw new CommandError({ code: 'data-empty', message: `${path} holds no data: it has a header but no rows`, remedy: 'Export it again, or choose another file.', where: path });
  if (start.startsWith('missing')) throw new CommandError({ code: 'data-missing', message: `there is no file ${path}`, remedy: 'Check the path, and that the disk it lies on is attached.', where: path });
  if (/\.(docx?|pdf|xlsx?)$/.test(start)) throw new CommandError({ code: 'data-not-a-table', message: `${path} is no table: it begins like an office document`, remedy: 'Save it as CSV, TSV, JSON, JSONL or Parquet.', where: path });
}
