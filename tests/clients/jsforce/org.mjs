// The org under test, and connections to it as the documentation of jsforce shows them.
import assert from 'node:assert/strict';
import jsforce from 'jsforce';

export const org = JSON.parse(process.env.L2C_TEST_ORG);
export const version = '59.0';

export const client = {
  loginUrl: org.https_url,
  clientId: org.client_id,
  clientSecret: org.client_secret,
};

/** Return a connection that is not logged in yet. */
export function connection(more = {}) {
  return new jsforce.Connection({ loginUrl: org.https_url, version, logLevel: 'NONE', ...more });
}

/** Return a connection of the administrator, through the password flow. */
export async function connected(more = {}) {
  const conn = connection({ oauth2: client, ...more });
  await conn.login(org.username, org.password);
  return conn;
}

/** Make a call that only the local org knows. */
export async function command(path, body = {}) {
  const answer = await fetch(`${org.base_url}/__sandbox__/${path}`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  });
  assert.equal(answer.status, 200, await answer.text());
}

/** Forget all records. */
export async function reset() {
  await command('reset');
}

/** Return as many new accounts as asked for. */
export function accounts(count, more = {}) {
  return Array.from({ length: count }, (_, number) => ({
    Name: `Account ${String(number).padStart(5, '0')}`,
    Billing_Key__c: `K-${number}`,
    ...more,
  }));
}
