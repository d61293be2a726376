import Bell from '@lucide/svelte/icons/bell';
import Cpu from '@lucide/svelte/icons/cpu';
import Folder from '@lucide/svelte/icons/folder';
import Info from '@lucide/svelte/icons/info';
import KeyRound from '@lucide/svelte/icons/key-round';
import Keyboard from '@lucide/svelte/icons/keyboard';
import LifeBuoy from '@lucide/svelte/icons/life-buoy';
import Network from '@lucide/svelte/icons/network';
import SlidersHorizontal from '@lucide/svelte/icons/sliders-horizontal';
import SunMoon from '@lucide/svelte/icons/sun-moon';
import type { Component } from 'svelte';

export const sections = [
  { id: 'appearance', title: 'Appearance', icon: SunMoon, words: 'theme dark light system sidebar' },
  { id: 'folders', title: 'Folders', icon: Folder, words: 'home path disk model cache' },
  { id: 'device', title: 'Device', icon: Cpu, words: 'gpu cpu processor metal cuda memory limit' },
  { id: 'notifications', title: 'Notifications and sleep', icon: Bell, words: 'awake desktop' },
  { id: 'defaults', title: 'New experiments', icon: SlidersHorizontal, words: 'defaults settings' },
  { id: 'keys', title: 'Keys', icon: KeyRound, words: 'token hugging face secret keychain' },
  { id: 'requests', title: 'Outbound requests', icon: Network, words: 'network privacy internet' },
  { id: 'diagnostics', title: 'Diagnostics', icon: LifeBuoy, words: 'problem report zip log' },
  { id: 'shortcuts', title: 'Shortcuts', icon: Keyboard, words: 'keyboard keys' },
  { id: 'about', title: 'About', icon: Info, words: 'version licence libraries' },
] as const satisfies { id: string; title: string; icon: Component; words: string }[];

export type SectionId = (typeof sections)[number]['id'];

/** The section an address names; the first for any other word. */
export function sectionNamed(name: string): SectionId {
  return sections.find(({ id }) => id === name)?.id ?? sections[0].id;
}
