"""Sessions on the target database: how they are opened and settled, who may migrate, what is traced of them."""
