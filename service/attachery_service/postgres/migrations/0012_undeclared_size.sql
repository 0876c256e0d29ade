-- The target of an upload whose size is not declared, as its purpose had it at Start. The previous
-- release knows forms only.
CREATE TYPE undeclared_size AS ENUM ('form', 'put');
ALTER TABLE upload_sessions ADD COLUMN undeclared_size undeclared_size NOT NULL DEFAULT 'form';
