import type { CommandSpec } from '../command.js';
import { completion } from './completion.js';
import { configShow } from './config-show.js';
import { serve } from './serve.js';

/** Every command, in the order of help. Their work is loaded when they run. */
export const COMMANDS: readonly CommandSpec[] = [serve, completion, configShow];
