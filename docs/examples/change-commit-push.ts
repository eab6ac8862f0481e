/** Writes a file into a container, commits the change and pushes the image: `node change-commit-push.js STORE REF NEW-REF`. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Imgtool } from 'imgtool';

const [root, ref, newRef] = process.argv.slice(2) as [string, string, string];

await using imgtool = new Imgtool({ root });
const image = await imgtool.pull(ref, { policy: 'missing' });
const box = await imgtool.create(image.id, { name: 'box' });
await writeFile(join(await imgtool.mount('box'), 'hello'), 'hello\n');
for (const { kind, path } of await imgtool.diff('box')) console.log(`${kind} ${path}`);
await imgtool.commit('box', newRef, { message: 'say hello', changes: ['ENV GREETING=hello'] });
await imgtool.rm(box.id);
const { digest } = await imgtool.push(newRef, { tags: ['latest'] });
console.log(`pushed ${digest}`);
