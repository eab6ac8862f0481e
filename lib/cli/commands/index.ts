import type { CommandSpec } from '../command.js';
import { build } from './build.js';
import { append, config, flatten, rebase } from './change-image.js';
import { commit } from './commit.js';
import { complete } from './complete.js';
import { completion } from './completion.js';
import { configShow } from './config-show.js';
import { containers, create, mount, rm } from './containers.js';
import { cp } from './cp.js';
import { copy } from './copy.js';
import { diff } from './diff.js';
import { exportCommand, importCommand } from './export.js';
import { history } from './history.js';
import { images } from './images.js';
import { inspect } from './inspect.js';
import { login, logout } from './login.js';
import { manifestAdd, manifestCreate } from './manifest-index.js';
import { pull } from './pull.js';
import { push } from './push.js';
import { digest, search, tags } from './registry.js';
import {
  blobGet,
  blobHead,
  catalog,
  deleteCommand,
  manifestDelete,
  manifestGet,
  manifestPut,
  referrers,
} from './registry-documents.js';
import { rmi } from './rmi.js';
import { load, save } from './save.js';
import { run } from './run.js';
import { serve } from './serve.js';
import { storeDf, storeInfo, storeInit } from './store.js';
import { storeFsck } from './store-fsck.js';
import { storeGc } from './store-gc.js';
import { sync } from './sync.js';
import { tag, untag } from './tag.js';
import { tree } from './tree.js';
import { worker } from './worker.js';

/** Every command, in the order of help. Their work is loaded when they run. */
export const COMMANDS: readonly CommandSpec[] = [
  pull,
  push,
  images,
  inspect,
  history,
  tree,
  build,
  tag,
  untag,
  rmi,
  save,
  load,
  create,
  containers,
  rm,
  mount,
  run,
  cp,
  diff,
  commit,
  config,
  append,
  flatten,
  rebase,
  exportCommand,
  importCommand,
  copy,
  sync,
  worker,
  tags,
  digest,
  catalog,
  manifestGet,
  manifestPut,
  manifestCreate,
  manifestAdd,
  manifestDelete,
  blobGet,
  blobHead,
  referrers,
  deleteCommand,
  login,
  logout,
  search,
  serve,
  storeInit,
  storeDf,
  storeGc,
  storeFsck,
  storeInfo,
  completion,
  configShow,
  complete,
];
