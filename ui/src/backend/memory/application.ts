import { CommandError } from '../backend';
import type { Error as Refusal, Key, OutboundRequest } from '../generated/types';
import { now, readScenario, type Handlers } from './context';
import { writeDiagnostics } from './diagnostics';
import { licences } from './licences';
import { savedPreferences, savePreferences } from './preferences';

const hour = 3600;

let stored: boolean | undefined;

/** `?keychain=none`: a machine where nothing keeps secrets. */
const withoutKeychain = () => new URLSearchParams(location.search).get('keychain') === 'none';

const refused: Refusal = {
  code: 'keychain',
  message: "the system's keychain refused: no secret service provider or dbus session found",
  remedy: 'Unlock the keychain. On Linux a secret service must run, such as GNOME Keyring or KeePassXC.',
};

function token(): Key {
  stored ??= readScenario() === 'slow';
  return {
    name: 'huggingface',
    title: 'Hugging Face access token',
    help: 'Lets you download gated models that your account may read. Create one at huggingface.co under Settings, Access Tokens, with read access.',
    stored: stored && !withoutKeychain(),
    problem: withoutKeychain() ? refused : null,
  };
}

function known(name: string | undefined): void {
  if (name !== 'huggingface') throw new CommandError({ code: 'key-unknown', message: `there is no key called \`${name}\`` });
  if (withoutKeychain()) throw new CommandError(refused);
}

const model = 'https://huggingface.co/Qwen/Qwen3-0.6B/resolve/c1899de289a04d12100db370d81485cdf75e47ca';
const sent: OutboundRequest[] = [
  { time: now - 26 * hour, url: `${model}/model.safetensors`, reason: 'You downloaded Qwen/Qwen3-0.6B', bytes: 1_503_300_328, outcome: 'Complete' },
  { time: now - 26 * hour - 4, url: `${model}/tokenizer.json`, reason: 'You downloaded Qwen/Qwen3-0.6B', bytes: 11_422_654, outcome: 'Complete' },
  { time: now - 26 * hour - 6, url: `${model}/config.json`, reason: 'You downloaded Qwen/Qwen3-0.6B', bytes: 726, outcome: 'Complete' },
  { time: now - 50 * hour, url: 'https://huggingface.co/meta-llama/Llama-3.2-3B-Instruct/resolve/main/config.json', reason: 'You downloaded meta-llama/Llama-3.2-3B-Instruct', bytes: 0, outcome: 'Refused: 401, this model asks for an access token' },
];

export const application: Handlers = {
  preferences: () => savedPreferences(),
  preferences_set: ({ preferences }) => {
    if (!preferences) throw new CommandError({ code: 'preference-invalid', message: 'there are no preferences to keep' });
    if (!['auto', 'cpu', 'metal'].includes(preferences.device)) {
      throw new CommandError({ code: 'preference-invalid', message: `the preferences ask for the device \`${preferences.device}\`, but Macs have no such GPU`, remedy: 'Choose another device in the settings.', where: 'device' });
    }
    return savePreferences(preferences);
  },
  keys_list: () => [token()],
  keys_set: ({ name, value = '' }) => {
    known(name);
    if (value.trim() === '') throw new CommandError({ code: 'key-empty', message: 'the key is empty', remedy: 'Paste the key, or remove the stored one.', where: name });
    stored = true;
    return token();
  },
  keys_remove: ({ name }) => {
    known(name);
    stored = false;
    return token();
  },
  requests_list: () => (readScenario() === 'working' || readScenario() === 'slow' ? sent : []),
  diagnostics: writeDiagnostics,
  licences: () => (readScenario() === 'empty' ? [] : licences),
};
