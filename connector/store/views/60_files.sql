-- Documents that belong beside a record in the CRM. `digest` tells whether it is the same content.
CREATE VIEW push_invoice_file AS
SELECT d.invoice_id AS id, i.number || '.pdf' AS file_name, i.number AS title, d.sha256 AS digest,
       octet_length(d.content) AS size, d.content, a.sfid AS account_sfid
  FROM invoice_document d
  JOIN invoice i ON i.id = d.invoice_id AND i.state = 'finalised'
  JOIN billing_account ba ON ba.id = i.billing_account_id
  JOIN account a ON a.id = ba.account_id
 WHERE d.media_type = 'application/pdf';
