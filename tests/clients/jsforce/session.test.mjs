// Logging in, who one is, and sessions that end (fact sheet A).
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { client, command, connected, connection, org, reset } from './org.mjs';

before(reset);

/** Return a connection opened with an authorization code, as web applications do. */
async function withRefreshToken() {
  const conn = connection({ oauth2: { ...client, redirectUri: 'http://localhost:1717/back' } });
  const page = await fetch(conn.oauth2.getAuthorizationUrl({}), { redirect: 'manual' });
  await conn.authorize(new URL(page.headers.get('location')).searchParams.get('code'));
  return conn;
}

describe('logging in', () => {
  it('works by SOAP with a user name and password', async () => {
    const conn = connection();

    const user = await conn.login(org.username, org.password);

    assert.equal(user.organizationId, org.organization_id);
    assert.match(user.id, /^005/);
    assert.equal(conn.instanceUrl, org.https_url);
    const who = await conn.identity();
    assert.equal(who.username, org.username);
  });

  it('says why SOAP refuses a wrong password', async () => {
    await assert.rejects(connection().login(org.username, 'wrong'), /INVALID_LOGIN/);
  });

  it('works by SOAP without TLS', async () => {
    const conn = connection({ loginUrl: org.base_url });

    await conn.login(org.username, org.password);

    assert.equal(conn.instanceUrl, org.base_url);
    assert.ok(Array.isArray((await conn.describeGlobal()).sobjects));
  });

  it('works by the password flow', async () => {
    const conn = connection({ oauth2: client });

    const user = await conn.login(org.username, org.password);

    assert.equal(user.organizationId, org.organization_id);
    assert.equal((await conn.identity()).user_id, user.id);
  });

  it('says why OAuth refuses a wrong password', async () => {
    const conn = connection({ oauth2: client });

    await assert.rejects(conn.login(org.username, 'wrong'), {
      name: 'invalid_grant',
      message: /authentication failure/,
    });
  });

  it('works with client credentials', async () => {
    const conn = connection({ instanceUrl: org.https_url, oauth2: client });

    await conn.authorize({ grant_type: 'client_credentials' });

    assert.equal((await conn.identity()).username, 'integration@sandbox.example');
  });

  it('works with an authorization code', async () => {
    const conn = await withRefreshToken();

    assert.ok(conn.refreshToken);
    assert.equal((await conn.identity()).username, org.username);
  });
});

describe('a session that was ended', () => {
  it('is opened again after a login by SOAP', async () => {
    const conn = connection();
    await conn.login(org.username, org.password);
    const before = conn.accessToken;

    await command('sessions/expire');
    const found = await conn.query('SELECT Id FROM User');

    assert.equal(found.totalSize, 2);
    assert.notEqual(conn.accessToken, before);
  });

  it('is opened again after the password flow', async () => {
    const conn = await connected();
    let refreshed = 0;
    conn.on('refresh', () => {
      refreshed += 1;
    });

    await command('sessions/expire');
    const created = await conn.sobject('Account').create({ Name: 'Once' });

    assert.ok(created.success);
    assert.equal(refreshed, 1);
    const found = await conn.query("SELECT Id FROM Account WHERE Name = 'Once'");
    assert.equal(found.totalSize, 1);
  });

  it('is opened again with a refresh token', async () => {
    const conn = await withRefreshToken();

    await command('sessions/expire');

    assert.equal((await conn.identity()).username, org.username);
  });

  it('is opened once for calls that run at the same time', async () => {
    const conn = await connected();
    let refreshed = 0;
    conn.on('refresh', () => {
      refreshed += 1;
    });

    await command('sessions/expire');
    const answers = await Promise.all(
      Array.from({ length: 5 }, () => conn.query('SELECT Id FROM User')),
    );

    assert.deepEqual(answers.map((answer) => answer.totalSize), [2, 2, 2, 2, 2]);
    assert.equal(refreshed, 1);
  });

  it('stays ended for who has nothing to open it with', async () => {
    const other = await connected();
    const conn = connection({ instanceUrl: org.https_url, accessToken: other.accessToken });
    await conn.query('SELECT Id FROM User');

    await command('sessions/expire');

    await assert.rejects(conn.query('SELECT Id FROM User'), {
      errorCode: 'INVALID_SESSION_ID',
      message: 'Session expired or invalid',
    });
  });
});

describe('logging out', () => {
  it('ends a session of OAuth', async () => {
    const conn = await connected();
    const token = conn.accessToken;

    await conn.logout();

    const left = connection({ instanceUrl: org.https_url, accessToken: token });
    await assert.rejects(left.query('SELECT Id FROM User'), { errorCode: 'INVALID_SESSION_ID' });
  });

  it('takes back the refresh token where that is asked for', async () => {
    const conn = await withRefreshToken();
    const { refreshToken } = conn;

    await conn.logout(true);

    await assert.rejects(conn.oauth2.refreshToken(refreshToken), {
      name: 'invalid_grant',
      message: 'expired access/refresh token',
    });
  });

  it('ends a session of SOAP', async () => {
    const conn = connection();
    await conn.login(org.username, org.password);
    const token = conn.accessToken;

    await conn.logout();

    const left = connection({ instanceUrl: org.https_url, accessToken: token });
    await assert.rejects(left.query('SELECT Id FROM User'), { errorCode: 'INVALID_SESSION_ID' });
  });
});
