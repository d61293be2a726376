import { createContext } from 'svelte';
import type { Backend } from '../backend/backend';
import { Actions, type Action } from './actions.svelte';
import { Activity } from './activity.svelte';
import { Chrome } from './chrome.svelte';
import { Confirmation } from './confirmation.svelte';
import { Drops, type DropTarget } from './drops.svelte';
import { NativeMenu } from './native-menu';
import { Navigation } from './navigation.svelte';
import { PreferenceKeeper } from './preferences.svelte';
import { Theme } from './theme.svelte';
import { Toasts } from './toasts.svelte';

/** Everything a page may need, made once. */
export class Application {
  readonly backend: Backend;
  readonly navigation = new Navigation();
  readonly theme = new Theme();
  readonly toasts = new Toasts();
  readonly confirmation = new Confirmation();
  readonly chrome = new Chrome();
  readonly actions = new Actions((thrown) => this.toasts.error(thrown));
  readonly drops = new Drops((thrown) => this.toasts.error(thrown));
  readonly preferences: PreferenceKeeper;
  readonly activity: Activity;
  readonly nativeMenu: NativeMenu;

  constructor(backend: Backend) {
    this.backend = backend;
    this.preferences = new PreferenceKeeper(backend, this.toasts, this.theme);
    this.activity = new Activity(backend, this.toasts, this.navigation, this.chrome, this.preferences);
    this.nativeMenu = new NativeMenu(backend);
  }
}

const [read, provide] = createContext<Application>();

export const provideApplication = provide;

export const useApplication = read;
export const useBackend = () => read().backend;
export const useNavigation = () => read().navigation;
export const useTheme = () => read().theme;
export const useToasts = () => read().toasts;
export const useConfirmation = () => read().confirmation;
export const usePreferences = () => read().preferences;
export const useActivity = () => read().activity;
export const useChrome = () => read().chrome;

/**
 * Registers actions while the component is mounted. The list may read state: it is asked anew each
 * time. Those of the frame stand in the native menu once and for all; a page's come and go with it.
 */
export function useActions(list: () => Action[], options: { frame?: boolean } = {}): void {
  const { actions } = read();
  // Numbered here and not in the effect: effects of a page's parts run before the page's own.
  const source = actions.source(list, options.frame);
  $effect(() => actions.add(source));
}

/** Takes dropped files while the component is mounted. */
export function useDropTarget(target: DropTarget): void {
  const { drops } = read();
  $effect(() => drops.add(target));
}
