"""The schema as records: EntityDefinition, FieldDefinition (fact sheet I.2)."""

from org_client import Client

FIELD_ATTRIBUTES = """
aggregatable aiPredictionField autoNumber byteLength calculated calculatedFormula cascadeDelete
caseSensitive compoundFieldName controllerName createable custom defaultValue
defaultValueFormula defaultedOnCreate dependentPicklist deprecatedAndHidden digits
displayLocationInDecimal encrypted externalId extraTypeInfo filterable filteredLookupInfo
formulaTreatNullNumberAsZero groupable highScaleNumber htmlFormatted idLookup inlineHelpText
label length mask maskType name nameField namePointing nillable permissionable picklistValues
polymorphicForeignKey precision queryByDistance referenceTargetField referenceTo
relationshipName relationshipOrder restrictedDelete restrictedPicklist scale
searchPrefilterable soapType sortable type unique updateable writeRequiresMasterRead
"""
OBJECT_ATTRIBUTES = """
actionOverrides activateable associateEntityType associateParentEntity childRelationships
compactLayoutable createable custom customSetting deepCloneable defaultImplementation deletable
deprecatedAndHidden extendedBy extendsInterfaces feedEnabled fields hasSubtypes implementedBy
implementsInterfaces isInterface isSubtype keyPrefix label labelPlural layoutable listviewable
lookupLayoutable mergeable mruEnabled name namedLayoutInfos networkScopeFieldName queryable
recordTypeInfos replicateable retrieveable searchLayoutable searchable sobjectDescribeOption
supportedScopes triggerable undeletable updateable urls
"""


def test_objects_are_records(org: Client) -> None:
    found = org.query(
        "SELECT QualifiedApiName, Label, KeyPrefix FROM EntityDefinition "
        "WHERE QualifiedApiName IN ('Account', 'Bill__c') ORDER BY QualifiedApiName"
    )

    assert [(r["QualifiedApiName"], r["Label"], r["KeyPrefix"]) for r in found] == [
        ("Account", "Account", "001"),
        ("Bill__c", "Bill", found[1]["KeyPrefix"]),
    ]


def test_fields_are_records_with_the_types_of_the_setup_pages(org: Client) -> None:
    found = org.query(
        "SELECT QualifiedApiName, DataType, IsCalculated FROM FieldDefinition "
        "WHERE EntityDefinition.QualifiedApiName = 'Bill__c'"
    )

    types = {r["QualifiedApiName"]: r["DataType"] for r in found}
    assert types["Key__c"] == "Text(120)"
    assert types["Total__c"] == "Currency(16, 2)"
    assert types["Account__c"] == "Lookup(Account)"
    assert types["Notes__c"] == "Long Text Area(32768)"
    assert types["Disputed__c"] == "Checkbox"
    assert types["Label__c"] == "Formula (Text)"
    assert types["Line_Total__c"].startswith("Roll-Up Summary (SUM")
    assert {r["QualifiedApiName"] for r in found if r["IsCalculated"]} == {
        "Double_Total__c",
        "Label__c",
        "Large_Lines__c",
        "Line_Count__c",
        "Line_Total__c",
    }


def test_children_of_an_object_are_its_fields(org: Client) -> None:
    found = org.query(
        "SELECT QualifiedApiName, (SELECT QualifiedApiName FROM Fields) FROM EntityDefinition "
        "WHERE QualifiedApiName = 'Bill_Line__c'"
    )

    names = [r["QualifiedApiName"] for r in found[0]["Fields"]["records"]]
    described = org.get("/sobjects/Bill_Line__c/describe").json()["fields"]
    assert sorted(names) == sorted(f["name"] for f in described)


def test_definitions_cannot_be_written(org: Client) -> None:
    answer = org.post("/sobjects/EntityDefinition", {"QualifiedApiName": "X"})

    assert answer.status_code == 400


def test_describe_has_every_attribute_of_a_field(org: Client) -> None:
    described = org.get("/sobjects/Bill__c/describe").json()

    assert set(OBJECT_ATTRIBUTES.split()) == set(described)
    assert all(set(f) == set(FIELD_ATTRIBUTES.split()) for f in described["fields"])
