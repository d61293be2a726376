import './app.css';
import { mount } from 'svelte';
import App from './app/App.svelte';
import { openBackend } from './backend';

const target = document.getElementById('app');
if (!target) throw new Error('the page has no #app');

const backend = await openBackend();
mount(App, { target, props: { backend } });
