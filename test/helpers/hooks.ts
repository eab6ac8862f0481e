import type { RootHookObject } from 'mocha';
import { removeLeftovers, removeSharedBtrfs } from './btrfs.js';

const listenerLeaks: string[] = [];
process.on('warning', ({ name, message }) => {
  if (name === 'MaxListenersExceededWarning') listenerLeaks.push(message);
});

/** Loaded by .mocharc.cjs: what is shared by all test files of a run goes away at its end. */
export const mochaHooks: RootHookObject = {
  afterAll() {
    removeSharedBtrfs();
    if (listenerLeaks.length > 0) throw new Error(`too many listeners: ${listenerLeaks.join('; ')}`);
  },
};

/** Not each process that runs tests: two of them would remove the same leftovers at once. */
export const mochaGlobalSetup = removeLeftovers;
