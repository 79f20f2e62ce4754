"""Bill runs, invoices, credit notes, payments and the boundary other systems could stand behind."""
