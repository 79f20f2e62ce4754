// Records one by one, in collections and in composite calls; errors (fact sheet B, D).
import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { accounts, connected, reset, version } from './org.mjs';

const MANY = 450;
let conn;

beforeEach(async () => {
  await reset();
  conn = await connected();
});

describe('one record', () => {
  it('is created, read, changed and deleted', async () => {
    const account = conn.sobject('Account');

    const created = await account.create({ Name: 'Acme', Billing_Key__c: 'C-1' });
    const changed = await account.update({ Id: created.id, Phone: '1' });
    const record = await account.retrieve(created.id);
    const deleted = await account.destroy(created.id);

    assert.deepEqual([created.success, created.errors], [true, []]);
    assert.deepEqual(changed, { id: created.id, success: true, errors: [] });
    assert.deepEqual([record.Name, record.Phone, record.attributes.type], ['Acme', '1', 'Account']);
    assert.deepEqual(deleted, { id: created.id, success: true, errors: [] });
    await assert.rejects(account.retrieve(created.id), { errorCode: 'ENTITY_IS_DELETED' });
  });

  it('is read with some fields alone', async () => {
    const { id } = await conn.create('Account', { Name: 'Acme' });

    const record = await conn.retrieve('Account', id, { fields: ['Name'] });

    assert.equal(record.Name, 'Acme');
    assert.ok(!('Phone' in record));
  });

  it('is reached by its reference', async () => {
    const { id } = await conn.create('Account', { Name: 'Acme' });
    const reference = conn.sobject('Account').record(id);

    await reference.update({ Name: 'New' });

    assert.equal((await reference.retrieve()).Name, 'New');
    await reference.destroy();
    assert.equal((await conn.query('SELECT Id FROM Account')).totalSize, 0);
  });

  it('is created or changed by an external id', async () => {
    const account = conn.sobject('Account');
    const key = 'Billing_Key__c';

    const created = await account.upsert({ [key]: 'C-9', Name: 'First' }, key);
    const changed = await account.upsert({ [key]: 'C-9', Name: 'Second' }, key);

    assert.deepEqual([created.success, created.created], [true, true]);
    assert.deepEqual([changed.success, changed.created, changed.id], [true, false, created.id]);
    assert.equal((await conn.retrieve('Account', created.id)).Name, 'Second');
  });
});

describe('collections', () => {
  const several = { allowRecursive: true };

  it('of more than 200 are created, changed and deleted', async () => {
    const created = await conn.sobject('Account').create(accounts(MANY), several);
    const ids = created.map((result) => result.id);
    const changes = ids.map((Id, number) => ({ Id, Phone: `P-${number}` }));
    const changed = await conn.sobject('Account').update(changes, several);
    const found = await conn.query('SELECT Phone FROM Account ORDER BY Name');
    const deleted = await conn.sobject('Account').destroy(ids, several);

    for (const results of [created, changed, deleted]) {
      assert.equal(results.length, MANY);
      assert.ok(results.every((result) => result.success && result.errors.length === 0));
    }
    assert.deepEqual(changed.map((result) => result.id), ids);
    assert.equal(found.records[MANY - 1].Phone, `P-${MANY - 1}`);
    assert.equal(await conn.sobject('Account').count(), 0);
  });

  it('of more than 200 are created or changed by an external id', async () => {
    await conn.sobject('Account').create(accounts(200));

    const results = await conn
      .sobject('Account')
      .upsert(accounts(MANY, { Phone: 'new' }), 'Billing_Key__c', several);

    assert.equal(results.filter((result) => result.created).length, MANY - 200);
    assert.equal(await conn.sobject('Account').count({ Phone: 'new' }), MANY);
  });

  it('of more than 200 are refused in one call', async () => {
    await assert.rejects(conn.sobject('Account').create(accounts(201)), {
      errorCode: 'EXCEEDED_ID_LIMIT',
    });
    assert.equal(await conn.sobject('Account').count(), 0);
  });

  it('tell each row its own error', async () => {
    const results = await conn.create('Contact', [{ LastName: 'Good' }, { FirstName: 'Bad' }]);

    assert.deepEqual(results.map((result) => result.success), [true, false]);
    assert.deepEqual(results[1].errors, [
      {
        statusCode: 'REQUIRED_FIELD_MISSING',
        message: 'Required fields are missing: [LastName]',
        fields: ['LastName'],
      },
    ]);
  });

  it('save nothing when all rows must be good', async () => {
    const rows = [{ LastName: 'Good' }, { FirstName: 'Bad' }];

    const results = await conn.create('Contact', rows, { allOrNone: true });

    assert.equal(results[0].errors[0].statusCode, 'ALL_OR_NONE_OPERATION_ROLLED_BACK');
    assert.equal(await conn.sobject('Contact').count(), 0);
  });

  it('are read by their ids', async () => {
    const created = await conn.create('Account', accounts(3));
    const ids = created.map((result) => result.id);

    const records = await conn.retrieve('Account', [...ids, '001000000000000AAA']);

    assert.deepEqual(records.slice(0, 3).map((record) => record.Id), ids);
    assert.equal(records[3], null);
  });
});

describe('composite calls', () => {
  const base = `/services/data/v${version}`;

  it('refer to what went before', async () => {
    const answer = await conn.requestPost('/composite', {
      allOrNone: true,
      compositeRequest: [
        {
          method: 'POST',
          url: `${base}/sobjects/Account`,
          referenceId: 'account',
          body: { Name: 'Acme' },
        },
        {
          method: 'POST',
          url: `${base}/sobjects/Contact`,
          referenceId: 'contact',
          body: { LastName: 'Ada', AccountId: '@{account.id}' },
        },
        {
          method: 'GET',
          url: `${base}/query?q=SELECT+Account.Name+FROM+Contact+WHERE+Id='@{contact.id}'`,
          referenceId: 'found',
        },
      ],
    });

    const parts = answer.compositeResponse;
    assert.deepEqual(parts.map((part) => part.httpStatusCode), [201, 201, 200]);
    assert.equal(parts[2].body.records[0].Account.Name, 'Acme');
  });

  it('are batches', async () => {
    const answer = await conn.requestPost('/composite/batch', {
      batchRequests: [
        { method: 'GET', url: `v${version}/limits` },
        { method: 'GET', url: `v${version}/sobjects/Nope` },
      ],
    });

    assert.equal(answer.hasErrors, true);
    assert.deepEqual(answer.results.map((result) => result.statusCode), [200, 404]);
  });

  it('are trees', async () => {
    const answer = await conn.requestPost('/composite/tree/Account', {
      records: [
        {
          attributes: { type: 'Account', referenceId: 'a' },
          Name: 'Acme',
          Contacts: {
            records: [{ attributes: { type: 'Contact', referenceId: 'c' }, LastName: 'Ada' }],
          },
        },
      ],
    });

    assert.deepEqual(answer.results.map((result) => result.referenceId), ['a', 'c']);
  });
});

describe('errors', () => {
  const refused = [
    ['a missing field', 'REQUIRED_FIELD_MISSING', /Required fields are missing: \[Name\]/, {}],
    ['a field that is not there', 'INVALID_FIELD', /No such column 'Nope'/, { Name: 'A', Nope: 1 }],
    ['a text too long', 'STRING_TOO_LONG', /data value too large/, { Name: 'x'.repeat(256) }],
    ['a wrong kind', 'JSON_PARSER_ERROR', /Cannot deserialize/, { Name: 'A', NumberOfEmployees: 'x' }],
  ];
  for (const [about, errorCode, message, fields] of refused) {
    it(`tell ${about}`, async () => {
      await assert.rejects(conn.create('Account', fields), { errorCode, message });
    });
  }

  it('tell a duplicate external id', async () => {
    await conn.create('Account', { Name: 'A', Billing_Key__c: 'C-1' });

    await assert.rejects(conn.create('Account', { Name: 'B', Billing_Key__c: 'C-1' }), {
      errorCode: 'DUPLICATE_VALUE',
      message: /duplicate value found: Billing_Key__c duplicates value on record with id: 001/,
    });
  });

  it('tell an unknown record', async () => {
    await assert.rejects(conn.retrieve('Account', '001000000000000AAA'), {
      errorCode: 'NOT_FOUND',
    });
    await assert.rejects(conn.update('Account', { Id: '001000000000000AAA', Name: 'A' }), {
      errorCode: 'INVALID_CROSS_REFERENCE_KEY',
    });
    await assert.rejects(conn.destroy('Account', '001000000000000AAA'), {
      errorCode: 'INVALID_CROSS_REFERENCE_KEY',
    });
  });

  it('tell an unknown object', async () => {
    await assert.rejects(conn.create('Nope', { Name: 'A' }), { errorCode: 'NOT_FOUND' });
  });
});
