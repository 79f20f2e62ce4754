// Queries: pages fetched by themselves, finders, what a wrong query is told (fact sheet C).
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { accounts, connected, reset } from './org.mjs';

const COUNT = 4321;
let conn;

before(async () => {
  await reset();
  conn = await connected();
  conn.bulk2.pollInterval = 50;
  await conn.bulk2.loadAndWaitForResults({
    object: 'Account',
    operation: 'insert',
    input: accounts(COUNT),
  });
});

describe('a query over several pages', () => {
  const soql = 'SELECT Id, Name FROM Account ORDER BY Name';

  it('hands out the first page and where the next one is', async () => {
    const page = await conn.query(soql);

    assert.deepEqual([page.totalSize, page.records.length, page.done], [COUNT, 2000, false]);
    const next = await conn.queryMore(page.nextRecordsUrl);
    assert.equal(next.records[0].Name, 'Account 02000');
    const last = await conn.queryMore(next.nextRecordsUrl);
    assert.deepEqual([last.records.length, last.done], [COUNT - 4000, true]);
  });

  it('is fetched to its end by autoFetch', async () => {
    const found = await conn.query(soql, { autoFetch: true, maxFetch: 10000 });

    assert.deepEqual([found.totalSize, found.records.length, found.done], [COUNT, COUNT, true]);
    assert.equal(new Set(found.records.map((record) => record.Id)).size, COUNT);
    assert.equal(found.records.at(-1).Name, 'Account 04320');
  });

  it('stops at maxFetch', async () => {
    const found = await conn.query(soql, { autoFetch: true, maxFetch: 2500 });

    assert.equal(found.records.length, 2500);
  });

  it('tells its records one by one', async () => {
    const names = [];
    await new Promise((resolve, reject) => {
      conn
        .query(soql)
        .on('record', (record) => names.push(record.Name))
        .on('end', resolve)
        .on('error', reject)
        .run({ autoFetch: true, maxFetch: 10000 });
    });

    assert.equal(names.length, COUNT);
  });

  it('takes a page size', async () => {
    const page = await conn.query(soql, { headers: { 'Sforce-Query-Options': 'batchSize=200' } });

    assert.equal(page.records.length, 200);
  });
});

describe('finders', () => {
  it('build the query from conditions', async () => {
    const found = await conn
      .sobject('Account')
      .find({ Name: { $like: 'Account 0000%' }, Billing_Key__c: { $ne: 'K-3' } }, ['Id', 'Name'])
      .sort({ Name: -1 })
      .limit(3)
      .skip(1);

    const names = found.map((record) => record.Name);
    assert.deepEqual(names, ['Account 00008', 'Account 00007', 'Account 00006']);
  });

  it('compare with dates', async () => {
    const yesterday = new Date(Date.now() - 86_400_000);
    const recently = { CreatedDate: { $gt: jsDate(yesterday) } };

    assert.equal(await conn.sobject('Account').count(recently), COUNT);
  });

  it('find one record', async () => {
    const record = await conn.sobject('Account').findOne({ Billing_Key__c: 'K-17' });

    assert.equal(record.Name, 'Account 00017');
    assert.equal(record.attributes.type, 'Account');
  });

  it('bring children along', async () => {
    const { id } = await conn.sobject('Account').create({ Name: 'Parent' });
    await conn.sobject('Contact').create([
      { LastName: 'One', AccountId: id },
      { LastName: 'Two', AccountId: id },
    ]);

    const [parent] = await conn
      .sobject('Account')
      .find({ Id: id }, 'Id, Name')
      .include('Contacts')
      .select('LastName')
      .sort('LastName')
      .end();

    assert.deepEqual(parent.Contacts.records.map((record) => record.LastName), ['One', 'Two']);
  });

  it('delete what they find', async () => {
    await conn.sobject('Contact').create([{ LastName: 'Gone' }, { LastName: 'Gone' }]);

    const results = await conn.sobject('Contact').find({ LastName: 'Gone' }).destroy();

    assert.deepEqual(results.map((result) => result.success), [true, true]);
    assert.equal(await conn.sobject('Contact').count({ LastName: 'Gone' }), 0);
  });

  it('update what they find', async () => {
    const wanted = { Name: { $like: 'Account 0001%' } };

    await conn.sobject('Account').find(wanted).update({ Phone: '$' + '{Name} called' });

    const found = await conn.sobject('Account').find({ Phone: { $like: '% called' } });
    assert.equal(found.length, 10);
    assert.equal(found[0].Phone, `${found[0].Name} called`);
  });
});

function jsDate(date) {
  return { toString: () => date.toISOString() };
}

describe('a query that is wrong', () => {
  const wrong = [
    ['SELECT Nope FROM Account', 'INVALID_FIELD', /No such column 'Nope' on entity 'Account'/],
    ['SELECT Id FROM Nope', 'INVALID_TYPE', /sObject type 'Nope' is not supported/],
    ['SELECT FROM Account', 'MALFORMED_QUERY', /unexpected token/],
    ["SELECT Id FROM Account WHERE Id = 'x'", 'INVALID_QUERY_FILTER_OPERATOR', /invalid ID field/],
  ];
  for (const [soql, errorCode, message] of wrong) {
    it(`is told ${errorCode}`, async () => {
      await assert.rejects(conn.query(soql), { errorCode, message });
    });
  }

  it('is told that a page is no longer there', async () => {
    await assert.rejects(conn.queryMore('01g000000000000AAA-2000'), {
      errorCode: 'INVALID_QUERY_LOCATOR',
    });
  });
});

describe('deleted rows', () => {
  it('are found with scanAll alone', async () => {
    const { id } = await conn.sobject('Account').create({ Name: 'Deleted' });
    await conn.sobject('Account').destroy(id);
    const soql = `SELECT Id, IsDeleted FROM Account WHERE Id = '${id}'`;

    assert.equal((await conn.query(soql)).totalSize, 0);
    assert.equal((await conn.query(soql, { scanAll: true })).records[0].IsDeleted, true);
  });
});
