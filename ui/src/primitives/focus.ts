/** What opens above the page is for its content: the first field has the focus, not the close button. */
export function focusFirst(event: Event): void {
  const content = [...document.querySelectorAll<HTMLElement>('[data-modal][data-state=open]')].at(-1);
  const first = content?.querySelector<HTMLElement>('[data-autofocus], input:not([type=hidden], :disabled), textarea:not(:disabled)');
  if (!first) return;
  event.preventDefault();
  first.focus();
}
