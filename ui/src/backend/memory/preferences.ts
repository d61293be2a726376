import type { Preferences } from '../generated/types';

const key = 'attune.memory.preferences';

const built: Preferences = { appearance: 'system', notifications: true, keep_awake: true, device: 'auto', memory_limit: null, longest_dispatch: null, defaults: {} };

/** Preferences outlive a reload, as a file would. */
export function savedPreferences(): Preferences {
  try {
    return { ...built, ...(JSON.parse(localStorage.getItem(key) ?? '{}') as Partial<Preferences>) };
  } catch {
    return { ...built };
  }
}

export function savePreferences(preferences: Preferences): Preferences {
  localStorage.setItem(key, JSON.stringify(preferences));
  return preferences;
}
