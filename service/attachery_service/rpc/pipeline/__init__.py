"""The steps of every call, in their order.

    context         request id, credential and trace context, from the metadata
    deadline        the time that the call may take
    admission       load shedding: refuses a call at once, before any work for it
    authentication  the principal, from the credential or the client certificate
    authorization   the scope that the method requires
    parsing         the request message
    tenant          the principal must be allowed to act for the request's tenant; a request without
                    one gets the principal's only tenant
    rate limit      of the principal, the tenant and the method's category
    call            the servicer's method
    status          the status code, and the reason of a failure
    metrics         counts the call
    log             writes the call's line

Authentication and authorization precede parsing, so unauthorized callers learn nothing about the
request's validity. A response leaves the server after its call has been counted and logged.

`compose` puts the steps of a method together at start-up; `pipeline` runs them. A step processes a
list of calls of its method and leaves the failure of one in that call's `error`, so a failed call
does not affect the others.
"""
