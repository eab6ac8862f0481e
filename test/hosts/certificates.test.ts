import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect } from 'chai';
import { UsageError } from '../../lib/errors.js';
import { hostCertificates } from '../../lib/hosts/index.js';
import { makeAuthority, type KeyPair, type TestAuthority } from '../helpers/test-authority.js';

describe('certificates of hosts', () => {
  let authority: TestAuthority;
  let client: KeyPair;
  let other: KeyPair;
  let home: string;
  before(async () => {
    authority = await makeAuthority();
    [client, other] = [await authority.issue('DNS:client'), await authority.issue('DNS:other')];
  });
  after(() => authority.close());
  beforeEach(() => {
    home = mkdtempSync(join(tmpdir(), 'imgtool-home-'));
  });
  afterEach(() => rmSync(home, { recursive: true }));

  function write(files: Record<string, string>): void {
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(home, path)), { recursive: true });
      writeFileSync(join(home, path), text);
    }
  }
  const find = (host: string, certDir?: string): unknown => hostCertificates({ env: {}, home }, certDir)(host);

  for (const root of ['.config/containers/certs.d', '.config/docker/certs.d'])
    it(`finds those of a host and port in ~/${root}`, () => {
      write({
        [`${root}/registry.example:5000/ca.crt`]: authority.ca,
        [`${root}/registry.example:5000/client.cert`]: client.cert,
        [`${root}/registry.example:5000/client.key`]: client.key,
        [`${root}/[::1]:5000/ca.crt`]: authority.ca,
        [`${root}/docker.io/ca.crt`]: authority.ca,
      });
      expect(find('registry.example:5000')).to.deep.equal({ ca: [authority.ca], ...client });
      expect(find('[::1]:5000')).to.deep.equal({ ca: [authority.ca] });
      expect(find('registry-1.docker.io')).to.deep.equal({ ca: [authority.ca] });
      for (const host of ['registry.example', 'registry.example:5001', '..']) expect(find(host)).to.equal(undefined);
    });

  it('takes those of --cert-dir for every host, and nothing else', () => {
    write({ '.config/containers/certs.d/a/ca.crt': authority.ca, 'certs/own.crt': client.cert });
    for (const host of ['a', 'b:1']) expect(find(host, join(home, 'certs'))).to.deep.equal({ ca: [client.cert] });
    expect(() => find('a', join(home, 'none'))).to.throw(UsageError, /does not exist/);
  });

  const bad: readonly { readonly name: string; readonly files: () => Record<string, string>; readonly want: RegExp }[] =
    [
      { name: 'rubbish', files: () => ({ 'ca.crt': 'rubbish' }), want: /ca\.crt cannot be used: it is not a certif/ },
      { name: 'no key', files: () => ({ 'a.cert': client.cert }), want: /its key a\.key is not in the same directory/ },
      { name: 'no certificate', files: () => ({ 'a.key': client.key }), want: /no \.cert file of the same name/ },
      {
        name: 'the key of another',
        files: () => ({ 'a.cert': client.cert, 'a.key': other.key }),
        want: /a\.key cannot be used: it is not the key of a\.cert/,
      },
    ];
  for (const { name, files, want } of bad)
    it(`refuses ${name}`, () => {
      const entries = Object.entries(files()).map(([file, text]) => [`certs/${file}`, text]);
      write(Object.fromEntries(entries) as Record<string, string>);
      expect(() => find('a', join(home, 'certs'))).to.throw(UsageError, want);
    });
});
