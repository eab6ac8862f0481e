/** Lists what differs between two images at registries; nothing of them stays: `node diff-remote-images.js STORE REF OTHER`. */
import { Imgtool } from 'imgtool';

const [root, ref, other] = process.argv.slice(2) as [string, string, string];

await using imgtool = new Imgtool({ root });
for (const { kind, path, size, pathBase64 } of await imgtool.diff(`docker://${ref}`, { other: `docker://${other}` })) {
  // A name that is not UTF-8 comes as bytes too.
  const name = pathBase64 === undefined ? path : Buffer.from(pathBase64, 'base64').toString('latin1');
  console.log(size === undefined ? `${kind} ${name}` : `${kind} ${name} ${size}`);
}
