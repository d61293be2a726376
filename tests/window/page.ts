/** How a person finds things in the page: by what they are and what they are called. Runs there. */

export const helpers = `
  const roles = {
    button: 'button, [role=button], summary, input[type=submit]',
    link: 'a[href], [role=link]',
    heading: 'h1, h2, h3, h4, [role=heading]',
    textbox: 'textarea, input:not([type]), input[type=text], input[type=search], input[type=number], [role=textbox], [contenteditable=true]',
    tab: '[role=tab]',
    radio: '[role=radio], input[type=radio]',
    checkbox: '[role=checkbox], input[type=checkbox]',
    switch: '[role=switch]',
    option: '[role=option]',
    menuitem: '[role=menuitem]',
    combobox: '[role=combobox], select',
    dialog: '[role=dialog], [role=alertdialog]',
    row: '[role=row], tr',
    status: '[role=status]',
    alert: '[role=alert]',
    progressbar: '[role=progressbar], progress',
  };
  const clean = (text) => (text || '').replace(/\\s+/g, ' ').trim();
  function nameOf(element) {
    const by = element.getAttribute('aria-labelledby');
    if (by) return clean(by.split(/\\s+/).map((id) => document.getElementById(id)?.textContent ?? '').join(' '));
    if (element.hasAttribute('aria-label')) return clean(element.getAttribute('aria-label'));
    if (element.labels && element.labels.length > 0) return clean(Array.from(element.labels).map((label) => label.textContent).join(' '));
    const text = clean(element.innerText ?? element.textContent);
    return text || clean(element.getAttribute('title')) || clean(element.getAttribute('placeholder'));
  }
  function isShown(element) {
    const { width, height } = element.getBoundingClientRect();
    return width > 0 && height > 0 && getComputedStyle(element).visibility !== 'hidden';
  }
  function all(role, name, exact) {
    const fits = (found) => (exact ? found === name : found.toLowerCase().includes(name.toLowerCase()));
    return Array.from(document.querySelectorAll(roles[role] ?? '[role=' + role + ']')).filter((element) => isShown(element) && (name === null || fits(nameOf(element))));
  }
`;
