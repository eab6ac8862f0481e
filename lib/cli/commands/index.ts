import type { CommandEntry, CommandSpec, CommandTable } from '../command.js';

/** Every command, in the order of help. */
export const COMMANDS: readonly CommandEntry[] = [
  command('pull', async () => (await import('./pull.js')).pull),
  command('push', async () => (await import('./push.js')).push),
  command('images', async () => (await import('./images.js')).images),
  command('inspect', async () => (await import('./inspect.js')).inspect),
  command('history', async () => (await import('./history.js')).history),
  command('tree', async () => (await import('./tree.js')).tree),
  command('build', async () => (await import('./build.js')).build, 'bud'),
  command('tag', async () => (await import('./tag.js')).tag),
  command('untag', async () => (await import('./tag.js')).untag),
  command('rmi', async () => (await import('./rmi.js')).rmi),
  command('save', async () => (await import('./save.js')).save),
  command('load', async () => (await import('./save.js')).load),
  command('create', async () => (await import('./containers.js')).create),
  command('containers', async () => (await import('./containers.js')).containers, 'ps'),
  command('rm', async () => (await import('./containers.js')).rm),
  command('mount', async () => (await import('./containers.js')).mount),
  command('run', async () => (await import('./run.js')).run),
  command('cp', async () => (await import('./cp.js')).cp),
  command('diff', async () => (await import('./diff.js')).diff),
  command('commit', async () => (await import('./commit.js')).commit),
  command('mutate', async () => (await import('./change-image.js')).mutate, 'config'),
  command('append', async () => (await import('./change-image.js')).append),
  command('flatten', async () => (await import('./change-image.js')).flatten),
  command('rebase', async () => (await import('./change-image.js')).rebase),
  command('export', async () => (await import('./export.js')).exportCommand),
  command('import', async () => (await import('./export.js')).importCommand),
  command('copy', async () => (await import('./copy.js')).copy),
  command('sync', async () => (await import('./sync.js')).sync),
  command('worker', async () => (await import('./worker.js')).worker),
  command('tags', async () => (await import('./registry.js')).tags),
  command('digest', async () => (await import('./registry.js')).digest),
  command('catalog', async () => (await import('./registry-documents.js')).catalog),
  command('manifest get', async () => (await import('./registry-documents.js')).manifestGet),
  command('manifest put', async () => (await import('./registry-documents.js')).manifestPut),
  command('manifest create', async () => (await import('./manifest-index.js')).manifestCreate),
  command('manifest add', async () => (await import('./manifest-index.js')).manifestAdd),
  command('manifest delete', async () => (await import('./registry-documents.js')).manifestDelete),
  command('blob get', async () => (await import('./registry-documents.js')).blobGet),
  command('blob head', async () => (await import('./registry-documents.js')).blobHead),
  command('referrers', async () => (await import('./registry-documents.js')).referrers),
  command('delete', async () => (await import('./registry-documents.js')).deleteCommand),
  command('login', async () => (await import('./login.js')).login),
  command('logout', async () => (await import('./login.js')).logout),
  command('search', async () => (await import('./registry.js')).search),
  command('serve', async () => (await import('./serve.js')).serve),
  command('store init', async () => (await import('./store.js')).storeInit),
  command('store df', async () => (await import('./store.js')).storeDf),
  command('store gc', async () => (await import('./store-gc.js')).storeGc),
  command('store fsck', async () => (await import('./store-fsck.js')).storeFsck),
  command('store info', async () => (await import('./store.js')).storeInfo),
  command('completion', async () => (await import('./completion.js')).completion),
  command('config show', async () => (await import('./config-show.js')).configShow),
  command('version', async () => (await import('./version.js')).version),
];

/** The definitions of all commands, for help, docs and completion. */
export function allCommands(): Promise<readonly CommandSpec[]> {
  return Promise.all(COMMANDS.map(({ load }) => load()));
}

function command(words: string, load: () => Promise<CommandTable>, ...aliases: string[]): CommandEntry {
  const name = { path: words.split(' '), aliases };
  return { ...name, load: async () => ({ ...(await load()), ...name }) };
}
