export type ThemeChoice = 'system' | 'light' | 'dark';

const key = 'attune.theme';

/** Light or dark, as chosen or as the desktop has it. */
export class Theme {
  #choice = $state<ThemeChoice>(read());
  #systemDark = $state(matchMedia('(prefers-color-scheme: dark)').matches);
  /** Told when a person chooses, to keep it with the preferences. */
  chosen: ((choice: ThemeChoice) => void) | null = null;

  constructor() {
    this.#apply();
  }

  get choice(): ThemeChoice {
    return this.#choice;
  }

  set choice(choice: ThemeChoice) {
    this.adopt(choice);
    this.chosen?.(choice);
  }

  /** Shows what the preferences say, and remembers it for the first frame of the next start. */
  adopt(choice: ThemeChoice): void {
    this.#choice = choice;
    try {
      localStorage.setItem(key, choice);
    } catch {
      // Without storage the choice lasts until the window closes.
    }
    this.#apply();
  }

  /** What is shown; canvases read it to draw anew. */
  get current(): 'light' | 'dark' {
    return this.#choice === 'system' ? (this.#systemDark ? 'dark' : 'light') : this.#choice;
  }

  toggle(): void {
    this.choice = this.current === 'dark' ? 'light' : 'dark';
  }

  /** Follows the desktop; call from an effect, which it leaves clean. */
  listen(): () => void {
    const query = matchMedia('(prefers-color-scheme: dark)');
    const follow = () => {
      this.#systemDark = query.matches;
      this.#apply();
    };
    query.addEventListener('change', follow);
    return () => query.removeEventListener('change', follow);
  }

  #apply(): void {
    document.documentElement.dataset.theme = this.current;
  }
}

function read(): ThemeChoice {
  try {
    const stored = localStorage.getItem(key);
    return stored === 'light' || stored === 'dark' ? stored : 'system';
  } catch {
    return 'system';
  }
}
