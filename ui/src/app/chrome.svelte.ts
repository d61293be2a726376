/** The running job as the sidebar shows it. */
export interface RunningJob {
  title: string;
  state: 'running' | 'queued' | 'paused';
  /** 0 to 1, where known. */
  fraction: number | null;
  secondsLeft: number | null;
  open: () => void;
}

/** What the device meter shows; bytes. */
export interface DeviceUse {
  name: string;
  /** Why it computes, and nothing else. */
  reason: string;
  used: number;
  usable: number;
  /** What a run may take of it. */
  forRuns: number;
  /** 0 to 1, where it can be measured. */
  load: number | null;
  parts: { name: string; bytes: number }[];
}

const key = 'attune.sidebar';

/** The frame around the pages: whoever knows the numbers sets them. */
export class Chrome {
  paletteOpen = $state(false);
  job = $state.raw<RunningJob | null>(null);
  device = $state.raw<DeviceUse | null>(null);
  #collapsed = $state(false);

  constructor() {
    // Enlarged to twice the size, the smallest window has no room for words here.
    const narrow = matchMedia('(max-width: 799px)');
    const follow = () => (this.#collapsed = narrow.matches || read());
    narrow.addEventListener('change', follow);
    follow();
  }

  get collapsed(): boolean {
    return this.#collapsed;
  }

  set collapsed(collapsed: boolean) {
    this.#collapsed = collapsed;
    try {
      localStorage.setItem(key, collapsed ? 'icons' : 'full');
    } catch {
      // Without storage the sidebar opens in full next time.
    }
  }
}

function read(): boolean {
  try {
    return localStorage.getItem(key) === 'icons';
  } catch {
    return false;
  }
}
