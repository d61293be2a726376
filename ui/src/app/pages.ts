import type { Component } from 'svelte';
import { isNative } from '../backend';
import type { Route } from './routes';

type Load = () => Promise<{ default: Component<{ route: never }> }>;

/** Each page is a chunk of its own, given its `route`. */
export const pages: Record<Route['name'], Load> = {
  home: () => import('../pages/home/HomePage.svelte'),
  datasets: () => import('../pages/datasets/DatasetsPage.svelte'),
  dataset: () => import('../pages/datasets/DatasetPage.svelte'),
  import: () => import('../pages/datasets/ImportPage.svelte'),
  models: () => import('../pages/models/ModelsPage.svelte'),
  model: () => import('../pages/models/ModelPage.svelte'),
  experiments: () => import('../pages/experiments/ExperimentsPage.svelte'),
  experiment: () => import('../pages/experiments/ExperimentPage.svelte'),
  new: () => import('../pages/experiments/NewExperimentPage.svelte'),
  compare: () => import('../pages/experiments/ComparePage.svelte'),
  chat: () => import('../pages/chat/ChatPage.svelte'),
  settings: () => import('../pages/settings/SettingsPage.svelte'),
  gallery: () => (isNative ? import('../pages/home/HomePage.svelte') : import('../pages/gallery/GalleryPage.svelte')),
};
