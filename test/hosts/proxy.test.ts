import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { UsageError } from '../../lib/errors.js';
import { proxyFor } from '../../lib/hosts/index.js';

describe('proxies of the environment', () => {
  let home: string;
  beforeEach(() => {
    home = mkdtempSync(join(tmpdir(), 'imgtool-home-'));
  });
  afterEach(() => rmSync(home, { recursive: true }));
  const find = (url: string, env: Record<string, string>): string | undefined => proxyFor({ env, home })(new URL(url));

  it('takes the variable of the scheme, the lower-case one first', () => {
    const env = {
      HTTP_PROXY: 'http://a:1',
      https_proxy: 'u:p@b:2',
      HTTPS_PROXY: 'http://c:3',
      ALL_PROXY: 'http://d:4',
    };
    expect(find('http://x/', env)).to.equal('http://a:1/');
    expect(find('https://x/', env)).to.equal('http://u:p@b:2/');
    expect(find('https://x/', { HTTP_PROXY: 'http://a:1', https_proxy: '' })).to.equal(undefined);
    expect(find('https://x/', { ALL_PROXY: 'http://d:4' })).to.equal(undefined);
  });

  it('never sends loopback hosts through a proxy', () => {
    const env = { HTTP_PROXY: 'http://a:1' };
    for (const host of ['localhost', '127.0.0.1:5000', '127.9.9.9', '[::1]:5000'])
      expect(find(`http://${host}/`, env)).to.equal(undefined);
  });

  const rules: readonly { readonly none: string; readonly yes: readonly string[]; readonly no: readonly string[] }[] = [
    { none: '*', yes: [], no: ['x', '10.0.0.1', '[2001:db8::1]'] },
    {
      none: 'example.com',
      yes: ['xexample.com', 'example.org'],
      no: ['example.com', 'A.Example.com', 'a.b.example.com.'],
    },
    { none: '.example.com', yes: ['example.com'], no: ['a.example.com'] },
    { none: '*.example.com', yes: ['example.com'], no: ['a.example.com'] },
    { none: 'a.b:5000', yes: ['a.b', 'a.b:5001'], no: ['a.b:5000', 'x.a.b:5000'] },
    { none: 'a.b:80', yes: ['a.b:81'], no: ['a.b'] },
    { none: '10.0.0.0/8', yes: ['11.0.0.1', 'x'], no: ['10.200.1.1:5000'] },
    { none: '10.0.0.7', yes: ['10.0.0.8'], no: ['10.0.0.7:5000'] },
    { none: '10.0.0.7:5000', yes: ['10.0.0.7'], no: ['10.0.0.7:5000'] },
    { none: '2001:db8::/32', yes: ['[2001:db9::1]'], no: ['[2001:db8::1]:5000'] },
    { none: '[2001:db8::1]:5000', yes: ['[2001:db8::1]'], no: ['[2001:db8:0::1]:5000'] },
    { none: 'a, ,b  c', yes: ['d'], no: ['a', 'b', 'c'] },
    { none: '10.0.0.0/99,/8,:80', yes: ['10.0.0.1', 'x'], no: [] },
  ];
  for (const { none, yes, no } of rules)
    it(`reads NO_PROXY=${none}`, () => {
      const env = { http_proxy: 'http://a:1', NO_PROXY: none };
      const proxied = (host: string): boolean => find(`http://${host}/`, env) !== undefined;
      expect([...yes, ...no].filter(proxied)).to.deep.equal(yes);
    });

  it("falls back to Docker's config.json, setting by setting", () => {
    mkdirSync(join(home, '.docker'));
    const proxies = { default: { httpProxy: 'http://a:1', httpsProxy: 'http://b:2', noProxy: 'x' } };
    writeFileSync(join(home, '.docker/config.json'), JSON.stringify({ proxies }));
    expect(find('http://y/', {})).to.equal('http://a:1/');
    expect(find('https://y/', { HTTPS_PROXY: 'http://c:3' })).to.equal('http://c:3/');
    expect(find('https://x/', { HTTPS_PROXY: 'http://c:3' })).to.equal(undefined);
    expect(find('http://x/', { NO_PROXY: 'z' })).to.equal('http://a:1/');
    expect(find('http://y/', { DOCKER_CONFIG: join(home, 'none') })).to.equal(undefined);
  });

  it("finds Docker's config.json though DOCKER_CONFIG is empty", () => {
    mkdirSync(join(home, '.docker'));
    writeFileSync(
      join(home, '.docker/config.json'),
      JSON.stringify({ proxies: { default: { httpProxy: 'http://a:1' } } }),
    );
    expect(find('http://y/', { DOCKER_CONFIG: '' })).to.equal('http://a:1/');
  });

  it('takes an encoded % in a password', () => {
    expect(find('http://x/', { HTTP_PROXY: 'http://u:100%25@a:1' })).to.equal('http://u:100%25@a:1/');
  });

  for (const text of ['socks5://u:secret@a:1', 'http://u:secret@a:99999', 'http://u:secret%@b:1'])
    it(`refuses ${text.split('@')[1]} without repeating a password`, () => {
      const attempt = (): unknown => find('http://x/', { HTTP_PROXY: text });
      expect(attempt).to.throw(UsageError, /^the proxy of HTTP_PROXY cannot be used/);
      expect(attempt).to.not.throw(/secret/);
    });
});
