import ChartLine from '@lucide/svelte/icons/chart-line';
import Copy from '@lucide/svelte/icons/copy';
import FolderOpen from '@lucide/svelte/icons/folder-open';
import GitCompareArrows from '@lucide/svelte/icons/git-compare-arrows';
import MessageSquare from '@lucide/svelte/icons/message-square';
import Pause from '@lucide/svelte/icons/pause';
import Pencil from '@lucide/svelte/icons/pencil';
import Play from '@lucide/svelte/icons/play';
import Square from '@lucide/svelte/icons/square';
import Trash from '@lucide/svelte/icons/trash-2';
import type { Action } from '../../../app/actions.svelte';
import { experimentTabs, type ExperimentTab } from '../../../app/routes';
import type { MenuItem } from '../../../primitives';
import type { RunPage } from './run-page.svelte';

const group = 'Experiment';

/** Everything that can be done on the page, for the palette, the keyboard and the menu. */
export function runActions(run: RunPage, titles: Record<ExperimentTab, string>): Action[] {
  const there = () => run.experiment !== undefined;
  const still = () => there() && !run.pausable;
  const { charts } = run;
  return [
    { id: 'run.pause', title: run.pausable ? 'Pause' : 'Continue', group, icon: run.pausable ? Pause : Play, shortcut: 'P', keywords: 'resume', when: () => run.pausable || run.resumable, run: () => run.togglePause() },
    { id: 'run.stop', title: 'Stop and keep', group, icon: Square, when: () => run.pausable, run: () => run.stop() },
    { id: 'run.rename', title: 'Rename', group, icon: Pencil, shortcut: 'F2', when: there, run: () => void (run.renaming = true) },
    { id: 'run.duplicate', title: 'New run with these settings', group, icon: Copy, keywords: 'duplicate', when: there, run: () => run.duplicate() },
    { id: 'run.compare', title: 'Compare with other runs', group, icon: GitCompareArrows, when: there, run: () => run.compare() },
    { id: 'run.chat', title: 'Chat with this run', group, icon: MessageSquare, when: () => run.usable, run: () => run.chat() },
    { id: 'run.measure', title: 'Measure the difference', group, keywords: 'evaluate exact match base', when: () => run.usable && still() && !run.measurement.running, run: () => run.measure() },
    { id: 'run.reveal', title: 'Show its folder', group, icon: FolderOpen, when: there, run: () => run.reveal() },
    { id: 'run.delete', title: 'Delete', group, icon: Trash, when: still, run: () => run.remove() },
    { id: 'run.charts.log', title: charts.log ? 'Linear scale' : 'Log scale', group, icon: ChartLine, shortcut: 'L', when: there, run: () => void (charts.log = !charts.log) },
    { id: 'run.charts.axis', title: charts.axis === 'step' ? 'Charts over time' : 'Charts over steps', group, icon: ChartLine, shortcut: 'X', when: there, run: () => void (charts.axis = charts.axis === 'step' ? 'time' : 'step') },
    { id: 'run.charts.table', title: charts.table ? 'Charts as lines' : 'Charts as numbers', group, icon: ChartLine, shortcut: 'T', keywords: 'table', when: there, run: () => void (charts.table = !charts.table) },
    ...experimentTabs.map((tab, at) => ({ id: `run.tab.${tab}`, title: titles[tab], group, shortcut: `Alt+${at + 1}`, when: there, run: () => run.show(tab) })),
  ];
}

/** What the menu beside the buttons holds. */
export function runMenu(run: RunPage): MenuItem[] {
  return [
    { title: 'Rename', icon: Pencil, shortcut: 'F2', run: () => (run.renaming = true) },
    { title: 'New run with these settings', icon: Copy, run: () => run.duplicate() },
    { title: 'Compare with other runs', icon: GitCompareArrows, run: () => run.compare() },
    { title: 'Chat with this run', icon: MessageSquare, disabled: !run.usable, run: () => run.chat() },
    { title: 'Show its folder', icon: FolderOpen, run: () => run.reveal() },
    'separator',
    { title: 'Stop and keep', icon: Square, disabled: !run.pausable, run: () => run.stop() },
    { title: 'Delete', icon: Trash, tone: 'danger', disabled: run.pausable, run: () => run.remove() },
  ];
}
