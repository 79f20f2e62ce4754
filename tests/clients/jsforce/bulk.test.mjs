// Bulk API 2.0: jobs loaded and waited for, results, queries as streams (fact sheet E).
import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { accounts, connected, reset } from './org.mjs';

const MANY = 3000;
let conn;

beforeEach(async () => {
  await reset();
  conn = await connected();
  conn.bulk2.pollInterval = 50;
  conn.bulk2.pollTimeout = 60_000;
});

function load(operation, input, more = {}) {
  return conn.bulk2.loadAndWaitForResults({ object: 'Account', operation, input, ...more });
}

function counts(results) {
  return [
    results.successfulResults.length,
    results.failedResults.length,
    results.unprocessedRecords.length,
  ];
}

describe('a load', () => {
  it('inserts, updates and deletes', async () => {
    const inserted = await load('insert', accounts(MANY));
    const ids = inserted.successfulResults.map((row) => row.sf__Id);
    const updated = await load('update', ids.map((Id, number) => ({ Id, Phone: `${number}` })));
    const found = await conn.query("SELECT COUNT() FROM Account WHERE Phone != null");
    const deleted = await load('delete', ids.map((Id) => ({ Id })));

    for (const results of [inserted, updated, deleted]) {
      assert.deepEqual(counts(results), [MANY, 0, 0]);
    }
    assert.equal(inserted.successfulResults[0].sf__Created, 'true');
    assert.equal(updated.successfulResults[0].sf__Created, 'false');
    assert.equal(found.totalSize, MANY);
    assert.equal(await conn.sobject('Account').count(), 0);
  });

  it('upserts by an external id', async () => {
    await load('insert', accounts(100));

    const results = await load('upsert', accounts(150, { Phone: 'new' }), {
      externalIdFieldName: 'Billing_Key__c',
    });

    assert.deepEqual(counts(results), [150, 0, 0]);
    const created = results.successfulResults.filter((row) => row.sf__Created === 'true');
    assert.equal(created.length, 50);
  });

  it('tells which rows failed and why', async () => {
    const rows = [
      { Name: 'Good', Phone: '1' },
      { Name: '', Phone: '2' },
      { Name: 'a "quoted", name\nof two lines', Phone: '3' },
    ];

    const results = await load('insert', rows);

    assert.deepEqual(counts(results), [2, 1, 0]);
    assert.match(results.failedResults[0].sf__Error, /^REQUIRED_FIELD_MISSING:.*Name/);
    const names = (await conn.query('SELECT Name FROM Account')).records.map((row) => row.Name);
    assert.ok(names.includes(rows[2].Name));
  });

  it('takes CSV text', async () => {
    const results = await load('insert', 'Name,Phone\nOne,1\nTwo,#N/A\n');

    assert.deepEqual(counts(results), [2, 0, 0]);
    const [two] = await conn.sobject('Account').find({ Name: 'Two' });
    assert.equal(two.Phone, null);
  });

  it('empties fields with null', async () => {
    const { id } = await conn.create('Account', { Name: 'A', Phone: '1' });

    await load('update', [{ Id: id, Phone: null }]);

    assert.equal((await conn.retrieve('Account', id)).Phone, null);
  });

  it('of an unknown object is refused', async () => {
    await assert.rejects(
      conn.bulk2.loadAndWaitForResults({
        object: 'Nope',
        operation: 'insert',
        input: [{ Name: 'A' }],
      }),
      { name: /INVALIDENTITY|INVALID_TYPE|InvalidEntity|API_ERROR/ },
    );
  });
});

describe('a job taken step by step', () => {
  it('opens, closes, is polled and deleted', async () => {
    const job = conn.bulk2.createJob({ object: 'Account', operation: 'insert' });
    const states = [];
    job.on('inProgress', (info) => states.push(info.state));

    const opened = await job.open();
    await job.uploadData(accounts(10));
    await job.close();
    await job.poll(20, 30_000);
    const done = await job.check();

    assert.deepEqual([opened.state, done.state], ['Open', 'JobComplete']);
    assert.deepEqual([done.numberRecordsProcessed, done.numberRecordsFailed], [10, 0]);
    assert.equal((await job.getSuccessfulResults()).length, 10);
    await job.delete();
    await assert.rejects(job.check(), { errorCode: 'NOT_FOUND' });
  });

  it('is aborted', async () => {
    const job = conn.bulk2.createJob({ object: 'Account', operation: 'insert' });
    await job.open();

    await job.abort();

    assert.equal((await job.check()).state, 'Aborted');
  });
});

describe('a query', () => {
  it('streams all records over several pages', async () => {
    await load('insert', accounts(MANY));

    const stream = await conn.bulk2.query('SELECT Id, Name, Phone FROM Account');
    const records = await stream.toArray();

    assert.equal(records.length, MANY);
    assert.match(records[0].Id, /^001.{15}$/);
    assert.equal(new Set(records.map((record) => record.Name)).size, MANY);
  });

  it('finds deleted rows with scanAll', async () => {
    const { id } = await conn.create('Account', { Name: 'Gone' });
    await conn.destroy('Account', id);

    const soql = 'SELECT Id FROM Account';
    const seen = await (await conn.bulk2.query(soql)).toArray();
    const all = await (await conn.bulk2.query(soql, { scanAll: true })).toArray();

    assert.deepEqual([seen.length, all.map((record) => record.Id)], [0, [id]]);
  });

  it('that is wrong is refused', async () => {
    await assert.rejects(conn.bulk2.query('SELECT Nope FROM Account'), /Nope/);
  });
});
