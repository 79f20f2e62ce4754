"""The complex types and operations of the partner API, in one notation (fact sheet F.2, F.3).

An element is `name:type` with marks: `?` may be nil, `-` may be missing, `*` repeats.
Types without a prefix are XML Schema's own when lower-case, else the partner API's; `sObject` is
the record. The WSDL is written from these tables, and so is every answer: they cannot differ.
"""

import re
from dataclasses import dataclass

PARTNER = "urn:partner.soap.sforce.com"
SOBJECT = "urn:sobject.partner.soap.sforce.com"
FAULT = "urn:fault.partner.soap.sforce.com"
METADATA = "http://soap.sforce.com/2006/04/metadata"
ENVELOPE = "http://schemas.xmlsoap.org/soap/envelope/"
XSD = "http://www.w3.org/2001/XMLSchema"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
_MARKED = re.compile(r"(\w+):(\w+)([*?-]*)\Z")


@dataclass(frozen=True, slots=True)
class Element:
    """One child of a complex type, or one argument of an operation."""

    name: str
    type: str
    nillable: bool
    optional: bool
    many: bool


@dataclass(frozen=True, slots=True)
class Operation:
    """One call: what goes in, what comes out, and which headers it takes."""

    name: str
    arguments: tuple[Element, ...]
    result: Element | None
    headers: tuple[str, ...]
    faults: tuple[str, ...]


def _elements(text: str) -> tuple[Element, ...]:
    found = []
    for part in text.split():
        match = _MARKED.match(part)
        assert match is not None, part
        name, kind, marks = match.groups()
        found.append(
            Element(
                name=name,
                type=kind,
                nillable="?" in marks,
                optional="-" in marks or "*" in marks,
                many="*" in marks,
            )
        )
    return tuple(found)


_OBJECT_FLAGS_1 = "activateable:boolean associateEntityType:string? associateParentEntity:string? "
_OBJECT_FLAGS_2 = (
    "createable:boolean custom:boolean customSetting:boolean dataTranslationEnabled:boolean- "
    "deepCloneable:boolean "
)
_RESULT = "errors:Error* id:ID? success:boolean"
_QUERY_ERROR = "row:int column:int"

TYPES: dict[str, tuple[Element, ...]] = {
    name: _elements(text)
    for name, text in {
        "location": "latitude:double? longitude:double?",
        "address": "latitude:double? longitude:double? city:string? country:string? "
        "countryCode:string? geocodeAccuracy:string? postalCode:string? state:string? "
        "stateCode:string? street:string?",
        "QueryResult": "done:boolean queryLocator:QueryLocator? records:sObject*? size:int",
        "GetUserInfoResult": "accessibilityMode:boolean chatterExternal:boolean "
        "currencySymbol:string? orgAttachmentFileSizeLimit:int orgDefaultCurrencyIsoCode:string? "
        "orgDefaultCurrencyLocale:string? orgDisallowHtmlAttachments:boolean "
        "orgHasPersonAccounts:boolean organizationId:ID organizationMultiCurrency:boolean "
        "organizationName:string profileId:ID roleId:ID? sessionSecondsValid:int "
        "userDefaultCurrencyIsoCode:string? userEmail:string userFullName:string userId:ID "
        "userLanguage:string userLocale:string userName:string userTimeZone:string "
        "userType:string userUiSkin:string",
        "LoginResult": "metadataServerUrl:string? passwordExpired:boolean sandbox:boolean "
        "serverUrl:string? sessionId:string? userId:ID? userInfo:GetUserInfoResult-",
        "ExtendedErrorDetails": "extendedErrorCode:string",
        "Error": "extendedErrorDetails:ExtendedErrorDetails*? fields:string*? message:string "
        "statusCode:StatusCode",
        "SaveResult": _RESULT,
        "UpsertResult": "created:boolean errors:Error* id:ID? success:boolean",
        "DeleteResult": "errors:Error*? id:ID? success:boolean",
        "UndeleteResult": _RESULT,
        "EmptyRecycleBinResult": _RESULT,
        "InvalidateSessionsResult": "errors:Error* success:boolean",
        "AdditionalInformationMap": "name:string value:string",
        "MergeRequest": "additionalInformationMap:AdditionalInformationMap* masterRecord:sObject "
        "recordToMergeIds:ID*",
        "MergeResult": "errors:Error* id:ID? mergedRecordIds:ID* success:boolean "
        "updatedRelatedIds:ID*",
        "LeadConvert": "accountId:ID? accountRecord:sObject? bypassAccountDedupeCheck:boolean? "
        "bypassContactDedupeCheck:boolean? contactId:ID? contactRecord:sObject? "
        "convertedStatus:string doNotCreateOpportunity:boolean leadId:ID opportunityId:ID? "
        "opportunityName:string? opportunityRecord:sObject? overwriteLeadSource:boolean "
        "ownerId:ID? relatedPersonAccountId:ID? relatedPersonAccountRecord:sObject? "
        "sendNotificationEmail:boolean",
        "LeadConvertResult": "accountId:ID? contactId:ID? errors:Error* leadId:ID? "
        "opportunityId:ID? relatedPersonAccountId:ID-? success:boolean",
        "GetUpdatedResult": "ids:ID* latestDateCovered:dateTime",
        "DeletedRecord": "deletedDate:dateTime id:ID",
        "GetDeletedResult": "deletedRecords:DeletedRecord* earliestDateAvailable:dateTime "
        "latestDateCovered:dateTime",
        "GetServerTimestampResult": "timestamp:dateTime",
        "LimitInfo": "current:int limit:int type:string",
        "DescribeGlobalResult": "encoding:string? maxBatchSize:int "
        "sobjects:DescribeGlobalSObjectResult*",
        "DescribeGlobalSObjectResult": _OBJECT_FLAGS_1
        + _OBJECT_FLAGS_2
        + "deletable:boolean deprecatedAndHidden:boolean feedEnabled:boolean hasSubtypes:boolean "
        "idEnabled:boolean isInterface:boolean isSubtype:boolean keyPrefix:string? label:string "
        "labelPlural:string layoutable:boolean mergeable:boolean mruEnabled:boolean name:string "
        "queryable:boolean replicateable:boolean retrieveable:boolean searchable:boolean "
        "triggerable:boolean undeletable:boolean updateable:boolean",
        "DescribeSObjectResult": "actionOverrides:ActionOverride*? "
        + _OBJECT_FLAGS_1
        + "childRelationships:ChildRelationship* compactLayoutable:boolean "
        + _OBJECT_FLAGS_2
        + "defaultImplementation:string? deletable:boolean deprecatedAndHidden:boolean "
        "feedEnabled:boolean fields:Field*? hasSubtypes:boolean idEnabled:boolean "
        "implementedBy:string? implementsInterfaces:string? isInterface:boolean "
        "isSubtype:boolean keyPrefix:string? label:string labelPlural:string layoutable:boolean "
        "mergeable:boolean mruEnabled:boolean name:string namedLayoutInfos:NamedLayoutInfo* "
        "networkScopeFieldName:string? queryable:boolean recordTypeInfos:RecordTypeInfo* "
        "replicateable:boolean retrieveable:boolean searchLayoutable:boolean- searchable:boolean "
        "supportedScopes:ScopeInfo*? triggerable:boolean- undeletable:boolean updateable:boolean "
        "urlDetail:string? urlEdit:string? urlNew:string?",
        "ActionOverride": "formFactor:string? isAvailableInTouch:boolean name:string pageId:ID "
        "url:string?",
        "ChildRelationship": "cascadeDelete:boolean childSObject:string "
        "deprecatedAndHidden:boolean field:string junctionIdListNames:string*? "
        "junctionReferenceTo:string*? relationshipName:string- restrictedDelete:boolean-",
        "NamedLayoutInfo": "name:string",
        "RecordTypeInfo": "active:boolean available:boolean defaultRecordTypeMapping:boolean "
        "developerName:string master:boolean name:string recordTypeId:ID?",
        "ScopeInfo": "label:string name:string",
        "PicklistEntry": "active:boolean defaultValue:boolean label:string? "
        "validFor:base64Binary- value:string",
        "FilteredLookupInfo": "controllingFields:string* dependent:boolean optionalFilter:boolean",
        "Field": "aggregatable:boolean aiPredictionField:boolean autoNumber:boolean "
        "byteLength:int calculated:boolean calculatedFormula:string- cascadeDelete:boolean- "
        "caseSensitive:boolean compoundFieldName:string- controllerName:string- "
        "createable:boolean custom:boolean dataTranslationEnabled:boolean- defaultValue:anyType- "
        "defaultValueFormula:string- defaultedOnCreate:boolean dependentPicklist:boolean- "
        "deprecatedAndHidden:boolean digits:int displayLocationInDecimal:boolean- "
        "encrypted:boolean- externalId:boolean- extraTypeInfo:string- filterable:boolean "
        "filteredLookupInfo:FilteredLookupInfo-? formulaTreatNullNumberAsZero:boolean- "
        "groupable:boolean highScaleNumber:boolean- htmlFormatted:boolean- idLookup:boolean "
        "inlineHelpText:string- label:string length:int mask:string- maskType:string- "
        "name:string nameField:boolean namePointing:boolean- nillable:boolean "
        "permissionable:boolean picklistValues:PicklistEntry*? polymorphicForeignKey:boolean "
        "precision:int queryByDistance:boolean referenceTargetField:string- "
        "referenceTo:string*? relationshipName:string- relationshipOrder:int- "
        "restrictedDelete:boolean- restrictedPicklist:boolean scale:int "
        "searchPrefilterable:boolean soapType:string sortable:boolean- type:string "
        "unique:boolean updateable:boolean writeRequiresMasterRead:boolean-",
    }.items()
}

HEADERS: dict[str, tuple[Element, ...]] = {
    name: _elements(text)
    for name, text in {
        "SessionHeader": "sessionId:string",
        "LoginScopeHeader": "organizationId:ID portalId:ID-",
        "CallOptions": "client:string? defaultNamespace:string?",
        "QueryOptions": "batchSize:int?",
        "AllOrNoneHeader": "allOrNone:boolean",
        "AllowFieldTruncationHeader": "allowFieldTruncation:boolean",
        "AssignmentRuleHeader": "assignmentRuleId:ID? useDefaultRule:boolean?",
        "DuplicateRuleHeader": "allowSave:boolean includeRecordDetails:boolean "
        "runAsCurrentUser:boolean",
        "DisableFeedTrackingHeader": "disableFeedTracking:boolean",
        "EmailHeader": "triggerAutoResponseEmail:boolean triggerOtherEmail:boolean "
        "triggerUserEmail:boolean",
        "LocaleOptions": "language:string- localizeErrors:boolean-",
        "MruHeader": "updateMru:boolean",
        "OwnerChangeOptions": "options:OwnerChangeOption*",
        "PackageVersionHeader": "packageVersions:PackageVersion*",
        "LimitInfoHeader": "limitInfo:LimitInfo*",
    }.items()
}
TYPES |= {
    "OwnerChangeOption": _elements("type:string execute:boolean"),
    "PackageVersion": _elements("majorNumber:int minorNumber:int namespace:string"),
}

# Faults by the type they extend; the elements are those they add (fact sheet F.6).
FAULTS: dict[str, tuple[str | None, tuple[Element, ...]]] = {
    "ApiFault": (None, _elements("exceptionCode:ExceptionCode exceptionMessage:string")),
    "ApiQueryFault": ("ApiFault", _elements(_QUERY_ERROR)),
    "LoginFault": ("ApiFault", ()),
    "InvalidQueryLocatorFault": ("ApiFault", ()),
    "InvalidNewPasswordFault": ("ApiFault", ()),
    "InvalidIdFault": ("ApiFault", ()),
    "UnexpectedErrorFault": ("ApiFault", ()),
    "InvalidFieldFault": ("ApiQueryFault", ()),
    "InvalidSObjectFault": ("ApiQueryFault", ()),
    "MalformedQueryFault": ("ApiQueryFault", ()),
    "MalformedSearchFault": ("ApiQueryFault", ()),
}
_PLAIN = ("SessionHeader", "CallOptions", "PackageVersionHeader")
_QUERY = ("SessionHeader", "CallOptions", "QueryOptions", "MruHeader", "PackageVersionHeader")
_SAVE = (
    "SessionHeader",
    "CallOptions",
    "AssignmentRuleHeader",
    "MruHeader",
    "AllowFieldTruncationHeader",
    "DisableFeedTrackingHeader",
    "AllOrNoneHeader",
    "DuplicateRuleHeader",
    "LocaleOptions",
    "OwnerChangeOptions",
    "EmailHeader",
    "PackageVersionHeader",
)
_ANY = ("UnexpectedErrorFault",)
_OF_TYPE = ("InvalidSObjectFault", *_ANY)
_OF_ROWS = ("InvalidSObjectFault", "InvalidIdFault", "InvalidFieldFault", *_ANY)
_OF_QUERY = (
    "InvalidSObjectFault",
    "InvalidFieldFault",
    "MalformedQueryFault",
    "InvalidIdFault",
    "ApiQueryFault",
    "InvalidQueryLocatorFault",
    *_ANY,
)


def _operation(
    name: str, arguments: str, result: str, headers: tuple[str, ...], faults: tuple[str, ...]
) -> Operation:
    return Operation(
        name=name,
        arguments=_elements(arguments),
        result=_elements(f"result:{result}")[0] if result else None,
        headers=headers,
        faults=faults,
    )


OPERATIONS: dict[str, Operation] = {
    item.name: item
    for item in (
        _operation(
            "login",
            "username:string password:string",
            "LoginResult",
            ("LoginScopeHeader", "CallOptions"),
            ("LoginFault", "InvalidIdFault", *_ANY),
        ),
        _operation("logout", "", "", _PLAIN, _ANY),
        _operation(
            "invalidateSessions", "sessionIds:string*", "InvalidateSessionsResult*", _PLAIN, _ANY
        ),
        _operation("getUserInfo", "", "GetUserInfoResult", _PLAIN, _ANY),
        _operation("getServerTimestamp", "", "GetServerTimestampResult", _PLAIN, _ANY),
        _operation("describeGlobal", "", "DescribeGlobalResult?", _PLAIN, _ANY),
        _operation(
            "describeSObject", "sObjectType:string", "DescribeSObjectResult?", _PLAIN, _OF_TYPE
        ),
        _operation(
            "describeSObjects", "sObjectType:string*", "DescribeSObjectResult*?", _PLAIN, _OF_TYPE
        ),
        _operation("query", "queryString:string", "QueryResult", _QUERY, _OF_QUERY),
        _operation("queryAll", "queryString:string", "QueryResult", _QUERY, _OF_QUERY),
        _operation("queryMore", "queryLocator:QueryLocator", "QueryResult", _QUERY, _OF_QUERY),
        _operation(
            "retrieve",
            "fieldList:string sObjectType:string ids:ID*",
            "sObject*?",
            _QUERY,
            _OF_QUERY,
        ),
        _operation("create", "sObjects:sObject*", "SaveResult*", _SAVE, _OF_ROWS),
        _operation("update", "sObjects:sObject*", "SaveResult*", _SAVE, _OF_ROWS),
        _operation(
            "upsert",
            "externalIDFieldName:string sObjects:sObject*",
            "UpsertResult*",
            _SAVE,
            _OF_ROWS,
        ),
        _operation("delete", "ids:ID*", "DeleteResult*", _SAVE, _ANY),
        _operation("undelete", "ids:ID*", "UndeleteResult*", _SAVE, _ANY),
        _operation("emptyRecycleBin", "ids:ID*", "EmptyRecycleBinResult*", _PLAIN, _ANY),
        _operation("merge", "request:MergeRequest*", "MergeResult*", _SAVE, _OF_ROWS),
        _operation("convertLead", "leadConverts:LeadConvert*", "LeadConvertResult*", _SAVE, _ANY),
        _operation(
            "getUpdated",
            "sObjectType:string startDate:dateTime endDate:dateTime",
            "GetUpdatedResult",
            _PLAIN,
            _OF_TYPE,
        ),
        _operation(
            "getDeleted",
            "sObjectType:string startDate:dateTime endDate:dateTime",
            "GetDeletedResult",
            _PLAIN,
            _OF_TYPE,
        ),
    )
}
