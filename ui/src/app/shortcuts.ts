import { isMac } from './platform';

/** `Mod+Shift+K`; Mod is ⌘ on macOS and Ctrl elsewhere. */
export type Shortcut = string;

const symbols: Record<string, string> = {
  Enter: '↵', Escape: 'Esc', ArrowUp: '↑', ArrowDown: '↓', ArrowLeft: '←', ArrowRight: '→', Backspace: '⌫', Delete: 'Del', Space: 'Space',
};

/** The keys of a shortcut as they are printed, one each. */
export function keysOf(shortcut: Shortcut, mac = isMac): string[] {
  return shortcut.split('+').map((key) => {
    if (key === 'Mod') return mac ? '⌘' : 'Ctrl';
    if (key === 'Shift') return mac ? '⇧' : 'Shift';
    if (key === 'Alt') return mac ? '⌥' : 'Alt';
    return symbols[key] ?? key.toUpperCase();
  });
}

/** For `aria-keyshortcuts`. */
export function ariaKeys(shortcut: Shortcut, mac = isMac): string {
  return shortcut.replace('Mod', mac ? 'Meta' : 'Control');
}

/** Whether a key press is this shortcut. */
export function matches(shortcut: Shortcut, event: Pick<KeyboardEvent, 'key' | 'code' | 'metaKey' | 'ctrlKey' | 'shiftKey' | 'altKey'>, mac = isMac): boolean {
  const parts = shortcut.split('+');
  const key = parts.at(-1) ?? '';
  const wants = (name: string) => parts.slice(0, -1).includes(name);
  if ((mac ? event.metaKey : event.ctrlKey) !== wants('Mod')) return false;
  if (mac ? event.ctrlKey : event.metaKey) return false;
  if (event.altKey !== wants('Alt')) return false;
  const pressed = event.key === ' ' ? 'Space' : event.key;
  // A digit or sign may need Shift on some layouts, so only letters and named keys insist on it.
  const insists = /^[a-z]$/i.test(key) || key.length > 1;
  if (insists && event.shiftKey !== wants('Shift')) return false;
  if (pressed.toLowerCase() === key.toLowerCase()) return true;
  return /^\d$/.test(key) && event.code === `Digit${key}`;
}

/** Whether a field with text in it has a use for the key: it types a character, or moves, or leaves. */
export function types(shortcut: Shortcut): boolean {
  return !/Mod|Alt|^F\d+$/.test(shortcut);
}
