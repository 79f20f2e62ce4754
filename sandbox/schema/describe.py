"""What describe calls answer (fact sheet B.3)."""

from typing import Any

from .definitions import DEFINITIONS
from .model import ChildLink, Field, FieldType, ObjectType, OnDelete, Schema

SOAP_TYPES = {
    FieldType.ID: "tns:ID",
    FieldType.REFERENCE: "tns:ID",
    FieldType.BOOLEAN: "xsd:boolean",
    FieldType.CURRENCY: "xsd:double",
    FieldType.DOUBLE: "xsd:double",
    FieldType.PERCENT: "xsd:double",
    FieldType.INT: "xsd:int",
    FieldType.DATE: "xsd:date",
    FieldType.DATETIME: "xsd:dateTime",
    FieldType.TIME: "xsd:time",
    FieldType.BASE64: "xsd:base64Binary",
    FieldType.ADDRESS: "urn:address",
}
LONG_TEXT = 255
MASTER_RECORD_TYPE = "012000000000000AAA"
RecordTypes = list[dict[str, Any]]


def describe_global(schema: Schema, *, base: str) -> dict[str, Any]:
    """Return the list of all objects."""
    objects = [_flags(item) | {"urls": _urls(item, base)} for item in schema]
    return {"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": objects}


def describe_object(
    item: ObjectType, schema: Schema, *, base: str, record_types: RecordTypes
) -> dict[str, Any]:
    """Return everything about one object."""
    return _flags(item) | {
        "actionOverrides": [],
        "childRelationships": [_child(link) for link in schema.links[item.name]],
        "compactLayoutable": True,
        "defaultImplementation": None,
        "extendedBy": None,
        "extendsInterfaces": None,
        "fields": [_field(f) for f in item.fields],
        "implementedBy": None,
        "implementsInterfaces": None,
        "listviewable": None,
        "lookupLayoutable": None,
        "namedLayoutInfos": [],
        "networkScopeFieldName": None,
        "recordTypeInfos": _record_type_infos(item, base, record_types),
        "searchLayoutable": True,
        "sobjectDescribeOption": "FULL",
        "supportedScopes": [{"label": f"All {item.plural}", "name": "everything"}],
        "urls": _urls(item, base)
        | {
            "uiDetailTemplate": f"{base}/{{ID}}",
            "uiEditTemplate": f"{base}/{{ID}}/e",
            "uiNewRecord": f"{base}/{item.prefix}/e",
        },
    }


def _flags(item: ObjectType) -> dict[str, Any]:
    return {
        "activateable": False,
        "associateEntityType": None,
        "associateParentEntity": None,
        "createable": item.createable,
        "custom": item.custom,
        "customSetting": False,
        "deepCloneable": False,
        "deletable": item.deletable,
        "deprecatedAndHidden": False,
        "feedEnabled": False,
        "hasSubtypes": item.name == "Account",
        "isInterface": False,
        "isSubtype": False,
        "keyPrefix": item.prefix,
        "label": item.label,
        "labelPlural": item.plural,
        "layoutable": not item.event,
        "mergeable": item.name in {"Account", "Contact", "Lead"},
        "mruEnabled": True,
        "name": item.name,
        "queryable": not item.event,
        "replicateable": is_replicateable(item),
        "retrieveable": not item.event,
        "searchable": not item.event,
        "triggerable": True,
        "undeletable": item.deletable,
        "updateable": item.updateable,
    }


def is_replicateable(item: ObjectType) -> bool:
    """Return whether getUpdated and getDeleted know the records of an object."""
    return not item.event and item.name not in DEFINITIONS


def _urls(item: ObjectType, base: str) -> dict[str, str]:
    root = f"{base}/sobjects/{item.name}"
    return {
        "sobject": root,
        "describe": f"{root}/describe",
        "rowTemplate": f"{root}/{{ID}}",
        "layouts": f"{root}/describe/layouts",
        "compactLayouts": f"{root}/describe/compactLayouts",
        "listviews": f"{root}/listviews",
        "quickActions": f"{root}/quickActions",
        "approvalLayouts": f"{root}/describe/approvalLayouts",
    }


def _child(link: ChildLink) -> dict[str, Any]:
    return {
        "cascadeDelete": link.field.on_delete is OnDelete.CASCADE,
        "childSObject": link.child.name,
        "deprecatedAndHidden": False,
        "field": link.field.name,
        "junctionIdListNames": [],
        "junctionReferenceTo": [],
        "relationshipName": link.field.children,
        "restrictedDelete": link.field.on_delete is OnDelete.RESTRICT,
    }


def _record_type_infos(item: ObjectType, base: str, types: RecordTypes) -> RecordTypes:
    master = {
        "active": True,
        "available": True,
        "defaultRecordTypeMapping": not types,
        "developerName": "Master",
        "master": True,
        "name": "Master",
        "recordTypeId": MASTER_RECORD_TYPE,
        "urls": {"layout": f"{base}/sobjects/{item.name}/describe/layouts/{MASTER_RECORD_TYPE}"},
    }
    infos = [
        {
            "active": entry["active"],
            "available": True,
            "defaultRecordTypeMapping": number == 0,
            "developerName": entry["developer_name"],
            "master": False,
            "name": entry["name"],
            "recordTypeId": entry["id"],
            "urls": {"layout": f"{base}/sobjects/{item.name}/describe/layouts/{entry['id']}"},
        }
        for number, entry in enumerate(types)
    ]
    return [*infos, master]


def _field(item: Field) -> dict[str, Any]:
    plain = _is_plain(item)
    number = item.is_decimal
    return _shape(item) | {
        "aggregatable": plain and item.type is not FieldType.BOOLEAN,
        "aiPredictionField": False,
        "autoNumber": item.auto_number is not None,
        "byteLength": item.length * 3 if item.is_text else item.length,
        "calculated": item.calculated,
        "calculatedFormula": item.formula,
        "cascadeDelete": item.on_delete is OnDelete.CASCADE and bool(item.reference_to),
        "caseSensitive": item.case_sensitive,
        "compoundFieldName": item.compound,
        "controllerName": None,
        "createable": item.createable,
        "custom": item.custom,
        "defaultValue": item.default if isinstance(item.default, bool | str) else None,
        "defaultValueFormula": _default_formula(item),
        "defaultedOnCreate": item.defaulted,
        "dependentPicklist": False,
        "deprecatedAndHidden": False,
        "digits": item.precision if item.type is FieldType.INT else 0,
        "displayLocationInDecimal": False,
        "encrypted": False,
        "externalId": item.external_id,
        "extraTypeInfo": _extra_type(item),
        "filterable": plain,
        "filteredLookupInfo": None,
        "formulaTreatNullNumberAsZero": item.formula is not None and item.blank_is_zero,
        "groupable": plain and not number and item.type is not FieldType.DATETIME,
        "highScaleNumber": False,
        "htmlFormatted": item.html,
        "idLookup": item.id_lookup,
        "inlineHelpText": item.help,
    }


def _default_formula(item: Field) -> str | None:
    if item.default is None or isinstance(item.default, bool | str):
        return item.default_formula
    return str(item.default)


def _shape(item: Field) -> dict[str, Any]:
    number = item.is_decimal
    plain = _is_plain(item)
    return {
        "label": item.label,
        "length": item.length,
        "mask": None,
        "maskType": None,
        "name": item.name,
        "nameField": item.name_field,
        "namePointing": len(item.reference_to) > 1,
        "nillable": item.nillable,
        "permissionable": item.custom and item.nillable,
        "picklistValues": [
            {
                "active": True,
                "defaultValue": choice.default,
                "label": choice.label,
                "validFor": None,
                "value": choice.value,
            }
            for choice in item.picklist
        ],
        "polymorphicForeignKey": len(item.reference_to) > 1,
        "precision": item.precision if number else 0,
        "queryByDistance": False,
        "referenceTargetField": None,
        "referenceTo": list(item.reference_to),
        "relationshipName": item.relationship,
        "relationshipOrder": 0 if item.master_detail else None,
        "restrictedDelete": item.on_delete is OnDelete.RESTRICT and bool(item.reference_to),
        "restrictedPicklist": item.restricted,
        "scale": item.scale,
        "searchPrefilterable": bool(item.reference_to),
        "soapType": SOAP_TYPES.get(item.type, "xsd:string"),
        "sortable": plain,
        "type": str(item.type),
        "unique": item.unique,
        "updateable": item.updateable,
        "writeRequiresMasterRead": False,
    }


def _is_plain(item: Field) -> bool:
    """Whether a field can be filtered and sorted by."""
    long_text = item.type is FieldType.TEXTAREA and item.length > LONG_TEXT
    return not long_text and item.type not in {FieldType.BASE64, FieldType.ADDRESS}


def _extra_type(item: Field) -> str | None:
    if item.type is not FieldType.TEXTAREA:
        return None
    if item.html:
        return "richtextarea"
    return "plaintextarea"
