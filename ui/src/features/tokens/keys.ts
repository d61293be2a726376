const owners = 'input, textarea, [contenteditable=true], [role=slider], [role=tab], [role=grid], [role=combobox], [role=listbox], [role=menu]';

/** Whether arrow keys mean something to what has the focus, or to something above the part of the page they are asked for. */
export function ownsArrows(target: EventTarget | null, part: Element | undefined): boolean {
  if (target instanceof Element && target.closest(owners) !== null) return true;
  const above = document.querySelector('[role=menu], [role=listbox], [role=alertdialog], [role=dialog][data-modal]');
  return above !== null && !above.contains(part ?? null);
}
