/** Splits USER[:PASS] of `--creds`; without a colon the password is empty. */
export function splitCredentials(text: string): { readonly username: string; readonly password: string } {
  const colon = text.indexOf(':');
  return colon < 0
    ? { username: text, password: '' }
    : { username: text.slice(0, colon), password: text.slice(colon + 1) };
}
