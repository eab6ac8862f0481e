#!/usr/bin/env node
// Writes docs/cli.md from the table of commands (npm run docs).
import { writeFileSync } from 'node:fs';
import { allCommands, cliReference } from '../../dist/lib/cli/index.js';

writeFileSync(new URL('../../docs/cli.md', import.meta.url), cliReference(await allCommands()));
