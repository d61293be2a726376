import { format, parse, sectionOf, type Route, type Section } from './routes';

/** Where the window is. The address is the truth, so a reload, a test and a link all open the same place. */
export class Navigation {
  #route = $state.raw<Route>({ name: 'home' });
  #depth = $state(0);
  #furthest = $state(0);
  #guards = new Set<() => Promise<boolean> | boolean>();

  constructor() {
    this.#route = parse(location.hash);
    this.#depth = this.#furthest = readDepth();
    history.replaceState({ depth: this.#depth }, '');
  }

  get route(): Route {
    return this.#route;
  }

  get section(): Section | null {
    return sectionOf(this.#route);
  }

  get canGoBack(): boolean {
    return this.#depth > 0;
  }

  get canGoForward(): boolean {
    return this.#depth < this.#furthest;
  }

  /** Follows the address; call from an effect, which it leaves clean. */
  listen(): () => void {
    const follow = () => {
      this.#depth = readDepth();
      this.#furthest = Math.max(this.#furthest, this.#depth);
      this.#route = parse(location.hash);
    };
    // A typed or clicked address has no depth of its own yet.
    const adopt = () => {
      if (typeof history.state?.depth !== 'number') {
        history.replaceState({ depth: this.#depth + 1 }, '');
        follow();
      }
    };
    window.addEventListener('popstate', follow);
    window.addEventListener('hashchange', adopt);
    return () => {
      window.removeEventListener('popstate', follow);
      window.removeEventListener('hashchange', adopt);
    };
  }

  /** Asked before leaving a page that would lose something; resolves false to stay. */
  guard(question: () => Promise<boolean> | boolean): () => void {
    this.#guards.add(question);
    return () => this.#guards.delete(question);
  }

  async go(route: Route): Promise<void> {
    if (format(route) === format(this.#route)) return;
    for (const question of this.#guards) if (!(await question())) return;
    this.#depth += 1;
    this.#furthest = this.#depth;
    history.pushState({ depth: this.#depth }, '', `#${format(route)}`);
    this.#route = route;
  }

  /** Changes the place without a step to go back to: a tab, a filter. */
  replace(route: Route): void {
    history.replaceState({ depth: this.#depth }, '', `#${format(route)}`);
    this.#route = route;
  }

  back(): void {
    if (this.canGoBack) history.back();
  }

  forward(): void {
    if (this.canGoForward) history.forward();
  }

  /** For links: `<a href={navigation.href({ name: 'home' })}>`. */
  href(route: Route): string {
    return `#${format(route)}`;
  }
}

function readDepth(): number {
  return typeof history.state?.depth === 'number' ? history.state.depth : 0;
}
