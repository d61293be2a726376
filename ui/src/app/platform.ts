/** Decides ⌘ or Ctrl, and room for the lights of a macOS window. */
export const isMac = typeof navigator !== 'undefined' && /Mac/.test(navigator.userAgent);
