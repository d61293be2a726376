import ArrowUpRight from '@lucide/svelte/icons/arrow-up-right';
import CirclePause from '@lucide/svelte/icons/circle-pause';
import CirclePlay from '@lucide/svelte/icons/circle-play';
import CircleStop from '@lucide/svelte/icons/circle-stop';
import Copy from '@lucide/svelte/icons/copy';
import MessageSquare from '@lucide/svelte/icons/message-square';
import Pencil from '@lucide/svelte/icons/pencil';
import Share from '@lucide/svelte/icons/share';
import Trash from '@lucide/svelte/icons/trash-2';
import type { Navigation } from '../../../app/navigation.svelte';
import type { Experiment } from '../../../backend/generated/types';
import type { MenuItem } from '../../../primitives';
import type { RunActions } from './actions.svelte';
import { canContinue, isLive } from './list.svelte';

/** What can be done with one run; what cannot be done now is left out, or dimmed where one would look for it. */
export function menuOf(run: Experiment, actions: RunActions, navigation: Navigation): MenuItem[] {
  const work: MenuItem[] = [];
  if (canContinue(run)) work.push({ title: 'Continue', icon: CirclePlay, run: () => actions.continue(run) });
  if (run.state === 'running') work.push({ title: 'Pause', icon: CirclePause, run: () => actions.pause(run) });
  if (isLive(run)) work.push({ title: run.state === 'queued' ? 'Take out of the queue' : 'Stop and keep', icon: CircleStop, run: () => actions.stop(run) });
  return [
    { title: 'Open', icon: ArrowUpRight, shortcut: 'Enter', run: () => actions.open(run) },
    ...work,
    'separator',
    { title: 'Chat', icon: MessageSquare, disabled: run.step === 0, run: () => navigation.go({ name: 'chat', experiment: run.id }) },
    { title: 'Export', icon: Share, disabled: run.step === 0, run: () => navigation.go({ name: 'experiment', id: run.id, tab: 'export' }) },
    { title: 'Duplicate', icon: Copy, run: () => navigation.go({ name: 'new', from: run.id }) },
    { title: 'Rename', icon: Pencil, run: () => void (actions.renaming = run.id) },
    'separator',
    { title: 'Delete', icon: Trash, tone: 'danger', shortcut: 'Delete', disabled: isLive(run), run: () => actions.delete([run]) },
  ];
}
