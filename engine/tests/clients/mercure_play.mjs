// What the plays about Mercure have in common: tokens, and publishing as an application's server does.

import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';

export const PATH = '/.well-known/mercure';

const encoded = value => Buffer.from(JSON.stringify(value)).toString('base64url');

/** A token of these claims (RFC 7519), by HS256. */
export function sign(claims, key, header = { alg: 'HS256', typ: 'JWT' }) {
  const message = `${encoded(header)}.${encoded(claims)}`;
  return `${message}.${createHmac('sha256', key).update(message).digest('base64url')}`;
}

/** Publishes an update; gives its id. */
export async function publishUpdate(hub, token, fields) {
  const headers = { Authorization: `Bearer ${token}` };
  const answer = await fetch(hub, { method: 'POST', headers, body: new URLSearchParams(fields) });
  const text = await answer.text();
  assert.equal(answer.status, 200, text);
  return text;
}
