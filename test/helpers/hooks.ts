import type { RootHookObject } from 'mocha';
import { removeSharedBtrfs } from './btrfs.js';

/** Loaded by .mocharc.cjs: what is shared by all test files of a run goes away at its end. */
export const mochaHooks: RootHookObject = {
  afterAll() {
    removeSharedBtrfs();
  },
};
