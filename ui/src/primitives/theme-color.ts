import { createSubscriber } from 'svelte/reactivity';

const subscribe = createSubscriber((update) => {
  const observer = new MutationObserver(update);
  observer.observe(document.documentElement, { attributes: true, attributeFilter: ['data-theme'] });
  return () => observer.disconnect();
});

/** The colour of a role now, for what draws on a canvas. An effect that reads it runs again when the theme changes. */
export function themeColor(role: string): string {
  subscribe();
  return getComputedStyle(document.documentElement).getPropertyValue(`--${role}`).trim();
}
