// What there is, what changed, what is left of the limits (fact sheet B.2, B.3, H.2, J).
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { connected, reset, version } from './org.mjs';

let conn;

before(async () => {
  await reset();
  conn = await connected();
});

describe('descriptions', () => {
  it('list the objects', async () => {
    const { sobjects, maxBatchSize } = await conn.describeGlobal();

    const names = sobjects.map((entry) => entry.name);
    assert.ok(['Account', 'Opportunity', 'Bill__c'].every((name) => names.includes(name)));
    assert.equal(maxBatchSize, 200);
  });

  it('tell the fields of an object', async () => {
    const described = await conn.sobject('Account').describe();

    const field = described.fields.find((entry) => entry.name === 'Billing_Key__c');
    assert.deepEqual([field.externalId, field.type, field.custom], [true, 'string', true]);
    assert.equal(described.keyPrefix, '001');
    const child = described.childRelationships.find((entry) => entry.relationshipName === 'Contacts');
    assert.deepEqual([child.childSObject, child.field], ['Contact', 'AccountId']);
  });

  it('are kept by the cache of the client', async () => {
    const first = await conn.describe$('Opportunity');

    assert.equal(conn.describe$$('Opportunity').name, 'Opportunity');
    assert.ok(first.fields.some((entry) => entry.name === 'StageName'));
  });

  it('of an unknown object are refused', async () => {
    await assert.rejects(conn.describe('Nope'), { errorCode: 'NOT_FOUND' });
  });

  it('list the versions', async () => {
    const versions = await conn.request('/services/data');

    assert.ok(versions.some((entry) => entry.version === version));
  });
});

describe('changes', () => {
  it('are told by getUpdated and getDeleted', async () => {
    const kept = await conn.create('Account', { Name: 'Kept' });
    const gone = await conn.create('Account', { Name: 'Gone' });
    await conn.destroy('Account', gone.id);
    const start = new Date(Date.now() - 3_600_000);
    const end = new Date(Date.now() + 120_000);

    const updated = await conn.sobject('Account').updated(start, end);
    const deleted = await conn.sobject('Account').deleted(start, end);

    assert.ok(updated.ids.includes(kept.id));
    assert.ok(!updated.ids.includes(gone.id));
    assert.deepEqual(deleted.deletedRecords.map((row) => row.id), [gone.id]);
    assert.ok(Date.parse(updated.latestDateCovered) > start);
    assert.ok(Date.parse(deleted.earliestDateAvailable));
  });

  it('are refused for a window that runs backwards', async () => {
    const now = Date.now();

    await assert.rejects(
      conn.updated('Account', new Date(now), new Date(now - 3_600_000)),
      { errorCode: 'INVALID_REPLICATION_DATE' },
    );
  });
});

describe('recent records', () => {
  it('are those the user looked at', async () => {
    const { id } = await conn.create('Account', { Name: 'Seen' });
    await conn.retrieve('Account', id, { headers: { 'Sforce-Mru': 'updateMru=true' } });

    const all = await conn.recent();
    const accounts = await conn.sobject('Account').recent();

    assert.equal(all[0].Id, id);
    assert.equal(accounts[0].Name, 'Seen');
    assert.equal((await conn.recent(1)).length, 1);
  });
});

describe('limits', () => {
  it('count down with every call', async () => {
    const first = await conn.limits();
    const second = await conn.limits();

    const left = [first, second].map((limits) => limits.DailyApiRequests.Remaining);
    assert.equal(left[0] - left[1], 1);
    assert.equal(conn.limitInfo.apiUsage.limit, first.DailyApiRequests.Max);
    assert.equal(conn.limitInfo.apiUsage.used, first.DailyApiRequests.Max - left[1]);
  });
});

describe('what the local org does not have', () => {
  it('is refused with a clear error', async () => {
    await assert.rejects(conn.search('FIND {Acme} IN ALL FIELDS RETURNING Account(Id)'), (error) => {
      assert.match(error.errorCode, /^[A-Z_]+$/);
      return true;
    });
  });
});
