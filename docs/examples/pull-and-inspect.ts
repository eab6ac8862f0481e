/** Pulls an image and prints what it is made of: `node pull-and-inspect.js STORE REF`. */
import { Imgtool } from 'imgtool';

const [root, ref] = process.argv.slice(2) as [string, string];

await using imgtool = new Imgtool({ root });
const { id, bytes } = await imgtool.pull(ref, { policy: 'newer' });
const { image } = await imgtool.inspect(id, { type: 'image' });
console.log(`${ref} is ${image.id}, ${image.platform}: ${bytes} bytes fetched`);
for (const layer of image.layers) console.log(`layer ${layer.digest} ${layer.size}`);
