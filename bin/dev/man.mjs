#!/usr/bin/env node
// Writes the manual from the table of commands to dist/man (part of npm run build).
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { allCommands, manPages } from '../../dist/lib/cli/index.js';

const directory = new URL('../../dist/man/', import.meta.url);
rmSync(directory, { recursive: true, force: true });
mkdirSync(directory, { recursive: true });
for (const { file, text } of manPages(await allCommands())) writeFileSync(new URL(file, directory), text);
