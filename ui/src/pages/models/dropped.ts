import { fileName } from '../../format';

/** What dropped paths are on the models page. */
export type Dropped = { kind: 'folders'; folders: string[] } | { kind: 'unreadable'; path: string } | { kind: 'other' };

/** A model in one file. */
const whole = /\.gguf$/i;
/** Weights that are not tuned here: one file of another format. */
const foreign = /\.(ggml|bin|pt|pth|ckpt|onnx|h5|mlmodel)$/i;
/** Files that cannot be a model, whatever they hold. A folder's name may end in `.6B`, so only known endings count. */
const files = /\.(csv|tsv|jsonl?|ndjson|parquet|arrow|zip|gz|tar|tgz|7z|txt|md|pdf|html?|xml|ya?ml|toml|log|docx?|xlsx?|pptx?|png|jpe?g|gif|webp|svg|heic|mp[34]|mov|wav|py|ipynb|rs|js|ts|sh|dmg|deb|exe|appimage)$/i;
/** Files inside a model's folder that stand for it. */
const inside = /^(config\.json|generation_config\.json|tokenizer\.json|tokenizer_config\.json|model\.safetensors\.index\.json|.+\.safetensors)$/i;

function parent(path: string): string {
  return path.replace(/[\\/]+$/, '').replace(/[\\/][^\\/]*$/, '');
}

/** Only names can be looked at before the drop: a folder looks like a file without an ending. */
export function readDropped(paths: string[]): Dropped {
  const folders = new Set<string>();
  for (const path of paths) {
    const name = fileName(path);
    if (inside.test(name)) folders.add(parent(path));
    else if (whole.test(name)) folders.add(path);
    else if (foreign.test(name)) return { kind: 'unreadable', path };
    else if (!files.test(name)) folders.add(path.replace(/[\\/]+$/, ''));
  }
  return folders.size > 0 ? { kind: 'folders', folders: [...folders] } : { kind: 'other' };
}
