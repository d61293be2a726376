import { counted, fileName } from '../format';

/** What can become a dataset, by the ends of names. */
export const readable = ['csv', 'tsv', 'json', 'jsonl', 'ndjson', 'parquet', 'zip', 'txt', 'gz'];

// A version such as `0.6B` at the end of a folder's name is no file type.
function typeOf(path: string): string {
  return /\.([a-z][a-z0-9]{0,11})$/i.exec(fileName(path))?.[1].toLowerCase() ?? '';
}

export function asData(paths: readonly string[]): string[] {
  return paths.filter((path) => readable.includes(typeOf(path)));
}

/** Whether it may be a folder: only its path is known while it hovers. */
export function mayBeFolder(path: string): boolean {
  return typeOf(path) === '';
}

const kinds: [types: string[], what: string, instead: string][] = [
  [['gguf'], 'is a model, not data', 'Drop it on the Models page to add the model.'],
  [['safetensors', 'bin', 'pt', 'pth', 'ckpt', 'onnx'], 'is a model, not data', 'Drop the folder it lies in, with its config.json and tokenizer.json, to add the model.'],
  [['png', 'jpg', 'jpeg', 'gif', 'webp', 'heic', 'svg', 'tif', 'tiff', 'bmp'], 'is an image', 'Attune learns from text: CSV, JSON, JSONL, Parquet, or a ZIP of them.'],
  [['mp3', 'wav', 'flac', 'm4a', 'mp4', 'mov', 'mkv', 'webm'], 'is a recording', 'Attune learns from text: CSV, JSON, JSONL, Parquet, or a ZIP of them.'],
  [['pdf', 'doc', 'docx', 'odt', 'rtf', 'ppt', 'pptx', 'pages', 'epub', 'html', 'md'], 'is a document, not a table', 'Put its questions and answers into a table, and save that as CSV or JSONL.'],
  [['xls', 'xlsx', 'ods', 'numbers'], 'is a spreadsheet', 'Save it as CSV, and drop that.'],
  [['tar', 'tgz', '7z', 'rar', 'bz2', 'xz', 'zst'], 'is an archive of a kind that is not read', 'Unpack it, or pack the data as ZIP.'],
  [['yaml', 'yml', 'toml'], 'holds settings, not data', 'Open it in New experiment.'],
  [['app', 'exe', 'dmg', 'deb', 'appimage', 'msi'], 'is a program', 'Attune takes CSV, JSON, JSONL, Parquet, or a ZIP of them.'],
];

/** Why these files become no dataset, and what would. */
export function refusal(paths: readonly string[]): { title: string; detail: string } {
  const path = paths.at(0) ?? '';
  const kind = kinds.find(([types]) => types.includes(typeOf(path)));
  const taken = 'Attune takes CSV, JSON, JSONL, Parquet, or a ZIP of them.';
  if (paths.length > 1) return { title: `None of these ${counted(paths.length, 'file')} can become a dataset`, detail: kind && paths.every((other) => kind[0].includes(typeOf(other))) ? kind[2] : taken };
  if (!kind) return { title: `${fileName(path) || 'This'} cannot become a dataset`, detail: taken };
  return { title: `${fileName(path)} ${kind[1]}`, detail: kind[2] };
}
